/** From the configuration and the examined host to the server that `doctor`'s fixes lead to. */
import type { Config } from '../../config/config.ts';
import type { StoreLocation } from '../../config/storeLocation.ts';
import { DNS_PORT, printSocketAddress, type SocketAddress } from '../../dns/address.ts';
import { ambassadorWords } from './ambassador/startWords.ts';
import { type PortFacts, usableEndpoint } from './judge/port.ts';
import { type DesiredServer, reachesBridge } from './judge/remedy.ts';

export interface ExaminedHost {
  readonly ports: readonly PortFacts[];
  readonly hasDocker: boolean;
  readonly bridgeAddress: string | undefined;
  /** No other program uses port 53 of the bridge's address. */
  readonly isBridgeFree: boolean;
}

export function desiredServer(config: Config, found: ExaminedHost): DesiredServer {
  const { domains, http, store, ambassador, origins } = config;
  const { ports, hasDocker, bridgeAddress } = found;
  const setsStore = origins.storeText !== 'default' || origins.machines !== 'default';
  const setsHttp = origins.http !== 'default';
  const httpText = http === undefined ? 'off' : printSocketAddress(http);
  return {
    endpoints: endpointsOf(found),
    domains,
    hasDefaultDomains: origins.domains === 'default',
    options: [...(setsHttp ? [`--http ${httpText}`] : []), ...(setsStore ? storeWords(store) : [])],
    ambassador: ambassador === undefined ? [] : ambassadorWords(ambassador),
    credentials: credentialWords(store),
    hasDocker,
    bridgeAddress,
    isRunning: ports.some(({ answersForUs, isSoradns }) => answersForUs || isSoradns),
  };
}

/** The usable addresses of --addr, and the bridge's, which containers query. */
function endpointsOf(found: ExaminedHost): readonly SocketAddress[] {
  const { ports, bridgeAddress, isBridgeFree } = found;
  const possible = ports.flatMap((facts) => usableEndpoint(facts, bridgeAddress) ?? []);
  const bridge = bridgeAddress === undefined ? [] : [{ address: bridgeAddress, port: DNS_PORT }];
  const isWanted = isBridgeFree && !reachesBridge({ endpoints: possible }, bridgeAddress ?? '');
  const endpoints = isWanted ? [...possible, ...bridge] : possible;
  return endpoints.length > 0 ? endpoints : [{ address: '127.0.0.1', port: DNS_PORT }];
}

function storeWords(store: StoreLocation): readonly string[] {
  switch (store.kind) {
    case 'memory':
      return ['--store memory:'];
    case 'file':
      return [`--store file:${store.directory}`];
    case 'http':
      return [`--store ${store.url}`];
    case 'etcd': {
      const { endpoints, tls } = store;
      const hosts = endpoints.map((url) => new URL(url).host).join(',');
      const ca = tls?.caFile === undefined ? [] : [`--ca-cert ${tls.caFile}`];
      return [`--store ${tls === undefined ? 'etcd' : 'etcds'}://${hosts}`, ...ca];
    }
  }
}

function credentialWords(store: StoreLocation): readonly string[] {
  if (store.kind === 'http') return store.token === undefined ? [] : ['--token-file FILE'];
  if (store.kind !== 'etcd') return [];
  const { user, tls } = store;
  const { certFile, keyFile } = tls ?? {};
  return [
    ...(user === undefined ? [] : [`--username ${user}`, '--password-file FILE']),
    ...(certFile === undefined ? [] : [`--tls-pem ${certFile}`, `--tls-key ${keyFile}`]),
  ];
}
