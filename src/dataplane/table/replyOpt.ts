/** The OPT record of replies out of the table. */
import { encodedError, UDP_SIZE, writeOpt } from '../../dns/edns.ts';
import { STALE } from '../../dns/message.ts';
import { Writer } from '../../dns/writer.ts';

/** Its octets, DO not set; with the extended error of data that may be stale, or without one. */
export function optOctets(stale: boolean): Uint8Array {
  const writer = new Writer();
  const opt = { udpSize: UDP_SIZE, dnssecOk: false, rcode: 0 };
  writeOpt(writer, stale ? { ...opt, extendedError: encodedError(STALE) } : opt);
  return writer.finish();
}
