import type { DesiredServer } from '../../src/tools/doctor/judge/remedy.ts';

/** The server as `doctor` would have it on a Docker host of which nothing was said: `soradns up`. */
export const DESIRED: DesiredServer = {
  endpoints: [{ address: '172.17.0.1', port: 53 }],
  domains: [['skydns', 'local']],
  hasDefaultDomains: true,
  options: [],
  credentials: [],
  hasDocker: true,
  bridgeAddress: '172.17.0.1',
  isRunning: false,
};
