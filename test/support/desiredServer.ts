import type { DesiredServer } from '../../src/tools/doctor/judge/remedy.ts';

/** The server that `doctor` suggests on a Docker host without any options: `soradns up`. */
export const DESIRED: DesiredServer = {
  endpoints: [{ address: '172.17.0.1', port: 53 }],
  domains: [['skydns', 'local']],
  hasDefaultDomains: true,
  options: [],
  ambassador: [],
  credentials: [],
  hasDocker: true,
  bridgeAddress: '172.17.0.1',
  isRunning: false,
};
