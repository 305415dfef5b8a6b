import { printSocketAddress } from '../dns/socketAddress.ts';

/** Where a record points: `10.0.0.5:8080`, or the host alone. */
export function targetOf({
  host,
  port,
}: {
  readonly host: string;
  readonly port?: number;
}): string {
  return port === undefined ? host : printSocketAddress({ address: host, port });
}
