/** Gets a zone, or its changes, from a DNS server over TCP. */
import { Failure } from '../app/process/failure.ts';
import { printSocketAddress, type SocketAddress } from '../dns/address.ts';
import { frame, Reassembly } from '../dns/framing.ts';
import type { Name } from '../dns/name.ts';
import { rcodeName } from '../dns/presentation/mnemonic.ts';
import type { Rr } from '../dns/rr.ts';
import { TransferReader, transferQuestion } from '../transfer/transferReader.ts';
import { signQuery } from '../transfer/tsig.ts';
import type { TsigKey } from '../transfer/tsigKeys.ts';

export interface WantedTransfer {
  readonly server: SocketAddress;
  readonly zone: Name;
  /** Changes since that version; `undefined`: the whole zone. */
  readonly serial: number | undefined;
  readonly key: TsigKey | undefined;
  /** The longest time without a message. */
  readonly timeoutMs: number;
}

/** The records, message after message, once they are verified. Throws a `Failure`. */
export async function* transferRecords(wanted: WantedTransfer): AsyncIterable<readonly Rr[]> {
  const { server, zone, serial, key, timeoutMs } = wanted;
  const where = printSocketAddress(server);
  const { randomInt } = process.getBuiltinModule('node:crypto');
  const { connect } = process.getBuiltinModule('node:net');
  const id = randomInt(0x10000);
  const question = transferQuestion(id, zone, serial);
  const { signed, verifier } =
    key === undefined
      ? { signed: question, verifier: undefined }
      : signQuery(question, key, nowSeconds());
  const socket = connect(server.port, server.address);
  socket.setTimeout(timeoutMs, () => socket.destroy(new Error('no message in time')));
  socket.write(frame(signed));
  const reader = new TransferReader(id, serial);
  const input = new Reassembly();
  /** The records of messages that the next signature verifies too. */
  let unverified: Rr[] = [];
  try {
    for await (const chunk of socket) {
      input.push(chunk as Buffer);
      for (let next = input.next(); next.kind !== 'incomplete'; next = input.next()) {
        if (next.kind === 'malformed') throw brokenBy(where, 'a malformed message came');
        const message = verifier?.verify(next.message, nowSeconds()) ?? next.message;
        if (typeof message === 'string') throw refusedBy(where, message);
        const progress = reader.read(message);
        if (progress.kind === 'refused') throw refusedBy(where, rcodeName(progress.rcode));
        if (progress.kind === 'malformed') throw brokenBy(where, 'a malformed message came');
        unverified = [...unverified, ...progress.rrs];
        if (verifier?.isSettled !== false) {
          yield unverified;
          unverified = [];
        }
        if (progress.kind !== 'end') continue;
        if (unverified.length > 0) throw refusedBy(where, 'the last message is not signed');
        return;
      }
    }
  } catch (error) {
    if (error instanceof Failure) throw error;
    throw brokenBy(where, error instanceof Error ? error.message : String(error));
  } finally {
    socket.destroy();
  }
  throw brokenBy(where, 'the connection ended before the last record');
}

function nowSeconds(): number {
  return Math.floor(Date.now() / 1000);
}

function refusedBy(where: string, reason: string): Failure {
  const hint = 'the server must allow it: --transfer-allow, with --key-file if it names a key';
  return new Failure('not_permitted', `${where} does not transfer the domain: ${reason}`, hint);
}

function brokenBy(where: string, reason: string): Failure {
  return new Failure(
    'no_reply',
    `no transfer from ${where}: ${reason}`,
    'is a server running there?',
  );
}
