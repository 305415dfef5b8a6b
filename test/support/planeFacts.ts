/** A host on which the kernel can carry all connections, for judgements about hosts that differ from it. */
import { AMBASSADOR_SWITCHES } from '../../src/config/options/ambassadorOptions.ts';
import type { KnownNetworks } from '../../src/kernel/knownNetworks.ts';
import type { HostRoute } from '../../src/kernel/routeTables.ts';
import type { PlaneFacts } from '../../src/tools/doctor/ambassador/planeFacts.ts';
import { ambassadorWords, settingsOfVip } from '../../src/tools/doctor/ambassador/startWords.ts';

export const VIP = settingsOfVip();
export const RANGE = AMBASSADOR_SWITCHES.vipRange.fallback;

export const start = (settings: typeof VIP): string =>
  ['soradns up', ...ambassadorWords(settings)].join(' ');

const [DEFAULT, DOCKER] = [route('0.0.0.0/0', 'eth0'), route('172.17.0.0/16', 'docker0')];

export const WELL: PlaneFacts = {
  examined: { label: 'this process', hasNetAdmin: true, isBehindProxy: false },
  isInContainer: false,
  bridge: { address: '172.17.0.1', isOwn: true },
  kernel: {
    release: '6.1.0-28-amd64',
    writer: { kind: 'found', by: 'libnftables' },
    trial: { kind: 'possible' },
  },
  isForwarding4: true,
  isForwarding6: true,
  bridgeRules: 'on',
  conntrack: { count: 100, max: 1_000 },
  networks: networksOf([DEFAULT, DOCKER]),
  engine: { kind: 'docker', version: '28.5.2', firewall: 'iptables' },
  dockerd: {
    userlandProxy: { isOn: true, setBy: undefined },
    writesRules: true,
    firewall: undefined,
  },
  dockerUser: 'present',
};

/** `network` as in `10.0.0.0/8`. */
export function route(
  network: string,
  device: string | undefined,
  more: Partial<HostRoute> = {},
): HostRoute {
  const [address = '', length] = network.split('/');
  const prefixLength = Number(length);
  return { address, prefixLength, device, hasGateway: false, isRefused: false, metric: 0, ...more };
}

/** `interfaces`: device -> address with its prefix. */
export function networksOf(
  routes: readonly HostRoute[],
  interfaces: Readonly<Record<string, string>> = {},
): KnownNetworks {
  return {
    routes,
    interfaces: Object.entries(interfaces).map(([device, network]) => {
      const [address = '', length] = network.split('/');
      return { device, address, prefixLength: Number(length) };
    }),
  };
}
