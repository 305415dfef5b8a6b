import { printSocketAddress } from '../dns/socketAddress.ts';
import { NO_SRV } from '../service/service.ts';

/** Where a record points: `10.0.0.5:8080`, or the host alone. */
export function targetOf({
  host,
  port,
}: {
  readonly host: string;
  readonly port?: number;
}): string {
  const isAlone = port === undefined || port === NO_SRV;
  return isAlone ? host : printSocketAddress({ address: host, port });
}
