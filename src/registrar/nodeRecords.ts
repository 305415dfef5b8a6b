/**
 * The records of the registrar's host itself: `HOSTNAME.node.dns.ZONE` with the host's addresses, and with the texts of
 * `--node-meta`. Consul's names of nodes lead to them.
 */
import { addressFamily } from '../dns/address.ts';
import { foldName, nameOctets, parseName } from '../dns/name.ts';
import { keyOfName } from '../service/key.ts';
import { NO_SRV } from '../service/service.ts';
import type { RegistrarContext } from './describe/context.ts';
import type { DesiredRecord } from './describe/description.ts';
import { recordValue, type StampedRecord } from './describe/storedValue.ts';
import { asContainerId, shortIdOf } from './engine/containerId.ts';

/** Stands for the host in owner stamps; no engine gives a container this id. */
const NODE_ID = asContainerId('0'.repeat(64));
export const NODE_SHORT_ID = shortIdOf(NODE_ID);
/** A host has one life as long as its registrar has one identity. */
const STARTED_AT = 'node';

const HOST_NAME = /^[A-Za-z0-9_]([A-Za-z0-9_.-]*[A-Za-z0-9_])?$/;
/** Leaves room for the labels of several records below the name (RFC 1035 §2.3.4). */
const MAX_OCTETS = 250;

/** None without the option, without an address that other hosts can reach, and for a host name that is no name in DNS. */
export function nodeRecords(
  context: RegistrarContext,
  hostName: string,
  ownerId: string,
): readonly StampedRecord[] {
  const owner = { id: ownerId, shortId: NODE_SHORT_ID, startedAt: STARTED_AT };
  return recordsOf(context, hostName).map((record) => {
    return { containerId: NODE_ID, owner, record, value: recordValue(record, owner) };
  });
}

function recordsOf(context: RegistrarContext, hostName: string): readonly DesiredRecord[] {
  const { node, nodeMeta, recordTtlSeconds: ttl, defaultZone, prefix } = context;
  const labels = node === true && HOST_NAME.test(hostName) ? parseName(hostName) : undefined;
  if (labels === undefined) return [];
  const name = foldName([...labels, 'node', 'dns', ...defaultZone]);
  const key = nameOctets(name) <= MAX_OCTETS ? keyOfName(name, prefix) : undefined;
  const addresses = addressesOf(context);
  const [address] = addresses;
  if (key === undefined || address === undefined) return [];
  const common = { instance: 'named', hintIfTaken: 'another host has this host name' } as const;
  // A record has one address and one text, so more of them need records of their own below the name.
  const count = Math.max(addresses.length, nodeMeta.length);
  return Array.from({ length: count }, (_, i) => {
    const host = addresses[i % addresses.length] ?? address;
    const text = nodeMeta[i];
    const fields = { host, port: NO_SRV, ttl, ...(text === undefined ? {} : { text }) };
    return { ...common, key: count === 1 ? key : `${key}/${i + 1}`, fields };
  });
}

function addressesOf({ ip, hostAddresses: { v4, v6 } }: RegistrarContext): readonly string[] {
  const all = ip === undefined ? [v4, v6] : [ip];
  return all.filter((one) => one !== undefined && addressFamily(one) !== 0) as readonly string[];
}
