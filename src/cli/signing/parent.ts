/** Asks what a domain's parent says about its keys, and how long caches keep the domain's own records. */
import { Failure } from '../../app/process/failure.ts';
import { upstreamsOf } from '../../app/process/network.ts';
import type { Io } from '../../app/process/process.ts';
import { FORWARD_OPTIONS } from '../../config/options/forwardOptions.ts';
import { type Arguments, type FlagValue, readSettings } from '../../config/settings.ts';
import type { Message } from '../../dns/message.ts';
import { equalNames, type Name } from '../../dns/name.ts';
import { rcodeName } from '../../dns/presentation/mnemonic.ts';
import { Class, MAX_TTL_SECONDS, Rcode, Type } from '../../dns/rr.ts';
import { DEFAULT_TTL_LIMITS } from '../../forward/bailiwick.ts';
import { createForwarder } from '../../forward/forwarder.ts';
import type { Upstream } from '../../forward/upstream.ts';
import type { ParentState } from '../../sign/keyStatus.ts';
import type { RollTimes } from '../../sign/rollover.ts';
import { serverAddress } from '../serverAddress.ts';

/** What a TTL is taken for that is not known. Few records have a longer one. */
const LONG_TTL_SECONDS = 86_400;

/** The DS of the domain, as the resolvers of `--nameservers` know it. */
export async function askParent(
  zone: Name,
  { flags }: Arguments,
  { env, readFile }: Io,
): Promise<ParentState> {
  const rows = { nameservers: FORWARD_OPTIONS.nameservers };
  const { settings, mistakes } = readSettings(rows, { flags, env, readFile, file: undefined });
  if (mistakes.length > 0) throw new Failure('usage', mistakes.join('; '));
  const upstreams = upstreamsOf(settings.nameservers);
  if (upstreams.length === 0) return { kind: 'unknown', reason: 'there is no resolver to ask' };
  const message = await ask(zone, Type.DS, upstreams);
  if (typeof message === 'string') return { kind: 'unknown', reason: message };
  const { rcode, answer, authority } = message;
  if (rcode !== Rcode.NOERROR && rcode !== Rcode.NXDOMAIN)
    return { kind: 'unknown', reason: `the resolver replies ${rcodeName(rcode)}` };
  const isOwn = authority.some(({ type, owner }) => type === Type.SOA && equalNames(owner, zone));
  if (isOwn) return { kind: 'unknown', reason: "the resolver is the domain's own server" };
  const records = answer.filter(({ type }) => type === Type.DS);
  return {
    kind: 'asked',
    ds: records.flatMap(({ rdata }) => (rdata.kind === 'unknown' ? [rdata.octets] : [])),
    ttlSeconds: Math.max(0, ...records.map(({ ttlSeconds }) => ttlSeconds)),
  };
}

/** The times that a roll waits for. */
export async function rollTimes(zone: Name, { flags }: Arguments, { env }: Io): Promise<RollTimes> {
  const longestTtlSeconds = secondsIn(flags['longest-ttl'], 'longest-ttl') ?? LONG_TTL_SECONDS;
  const given = secondsIn(flags.ttl, 'ttl');
  const server = String(flags.server ?? (env.SORADNS_SERVER || '127.0.0.1'));
  const ttlSeconds =
    given ?? (await servedTtl(zone, await serverAddress(server))) ?? LONG_TTL_SECONDS;
  const nowSeconds = Math.floor(Date.now() / 1000);
  return { nowSeconds, ttlSeconds, longestTtlSeconds: Math.max(longestTtlSeconds, ttlSeconds) };
}

function secondsIn(flag: FlagValue | undefined, option: string): number | undefined {
  if (flag === undefined) return undefined;
  const seconds = Number(flag);
  if (/^[0-9]+$/.test(String(flag)) && seconds <= MAX_TTL_SECONDS) return seconds;
  const expected = `whole seconds up to ${MAX_TTL_SECONDS}`;
  throw new Failure('usage', `--${option}: ${JSON.stringify(flag)} is not ${expected}`);
}

/** The TTL of the domain's DNSKEY records at a server; undefined if it has none, or has them from a cache. */
async function servedTtl(zone: Name, server: Upstream): Promise<number | undefined> {
  const message = await ask(zone, Type.DNSKEY, [server]);
  if (typeof message === 'string' || !message.authoritative) return undefined;
  return message.answer.find(({ type }) => type === Type.DNSKEY)?.ttlSeconds;
}

/** The reply of the first server that has one, or why there is none. */
async function ask(
  zone: Name,
  qtype: number,
  upstreams: readonly Upstream[],
): Promise<Message | string> {
  const forwarder = createForwarder({
    ...{ upstreams, ndots: 0 },
    // The rules about private names are for questions of clients.
    domain: { name: zone, isStubZone: false },
    ttlLimits: { ...DEFAULT_TTL_LIMITS, maxSeconds: MAX_TTL_SECONDS },
  });
  try {
    const question = { qname: zone, qtype, qclass: Class.IN };
    const options = { checkingDisabled: false, dnssecOk: false, client: '127.0.0.1' };
    const outcome = await forwarder.resolve(question, options);
    return outcome.kind === 'answered' ? outcome.message : outcome.text;
  } finally {
    await forwarder.close();
  }
}
