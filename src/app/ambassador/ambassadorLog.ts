/** Prints the events of a proxy as log lines. */
import type { ProxyEvent } from '../../ambassador/proxy/proxyEvents.ts';
import type { Log } from '../../observability/log.ts';

export function ambassadorLog(log: Log): (event: ProxyEvent) => void {
  return (event) => {
    const { kind: _, ...fields } = event;
    switch (event.kind) {
      case 'unserved':
        log.warn(fields, 'a route has no backend; its connections are refused');
        return;
      case 'served':
        log.info(fields, 'the route has backends again');
        return;
      case 'unreachable':
        log.warn(fields, 'no backend of a route accepted a connection');
        return;
      case 'forbidden':
        log.warn(fields, 'a route leads to an address that the proxy does not connect to');
        return;
      case 'limited':
        log.warn(fields, 'a limit of connections is reached; further ones are reset');
        return;
      case 'acceptFailed':
        log.warn(fields, 'a connection could not be accepted');
        return;
    }
  };
}
