/** The services that answer for a name in our zones: the special names resolved, then selected and grouped. */
import { equalNames, foldName, type Name, nameOctets } from '../dns/name.ts';
import { Type } from '../dns/rr.ts';
import { NO_SRV } from '../service/service.ts';
import { inGroup } from './merge.ts';
import { hasName, type Purpose, type Selected, select } from './select.ts';
import type { Work } from './work.ts';

export interface NameServices {
  /** Empty: the name exists without a service of its own kind. */
  readonly services: readonly Selected[];
  /** They are all services that the name stands for. */
  readonly isWhole: boolean;
}

/** `undefined`: the name does not exist. */
export function servicesAt(
  work: Work,
  owner: Name,
  apex: Name,
  qtype: number,
): NameServices | undefined {
  const name = nameToLookUp(work, foldName(owner), apex, qtype);
  const selection = select(work, name, purposeOf(qtype));
  if (selection.kind === 'missing') return undefined;
  const { services, isWhole, sampledBelow } = selection;
  return { services: inGroup(services, sampledBelow), isWhole };
}

/** `local.dns.<apex>` is the configured name; addresses of the apex are those at `apex.dns.<apex>` if there are any. */
export function nameToLookUp(work: Work, name: Name, apex: Name, qtype: number): Name {
  const { settings } = work.view;
  if (settings.local !== undefined && equalNames(name, ['local', 'dns', ...apex])) {
    return settings.local;
  }
  if ((qtype === Type.A || qtype === Type.AAAA) && name.length === apex.length) {
    const apexAddresses = ['apex', 'dns', ...apex];
    if (hasName(work, apexAddresses)) return apexAddresses;
  }
  return name;
}

/** Octets of a record besides its rdata, its owner compressed to a pointer (RFC 1035 §4.1.4). */
const RR_OCTETS = 12;

const OTHER: Purpose = {
  isUseful: ({ family, target }) => family !== 0 || target !== undefined,
  octetsOf: () => 0,
  mergesAddresses: false,
};

const PURPOSES: ReadonlyMap<number, Purpose> = new Map<number, Purpose>([
  [Type.A, addressPurpose(4, 4)],
  [Type.AAAA, addressPurpose(6, 16)],
  [
    Type.TXT,
    {
      ...OTHER,
      isUseful: ({ attributes, target }) => attributes.text !== '' || target !== undefined,
      octetsOf: (_, { attributes: { text } }) => (text === '' ? 0 : RR_OCTETS + 1 + text.length),
    },
  ],
  [
    Type.SRV,
    {
      ...OTHER,
      octetsOf: (node, { family, target, attributes: { port } }) => {
        if (port === NO_SRV || (family === 0 && target === undefined)) return 0;
        // SRV targets are not compressed (RFC 2782).
        return RR_OCTETS + 6 + nameOctets(target ?? node.owner());
      },
    },
  ],
  [
    Type.MX,
    {
      ...OTHER,
      isUseful: ({ attributes }) => attributes.mail,
      octetsOf: (_, { attributes: { mail } }) => (mail ? RR_OCTETS + 4 : 0),
    },
  ],
]);

function addressPurpose(family: 4 | 6, octets: number): Purpose {
  return {
    isUseful: (service) => service.family === family || service.target !== undefined,
    octetsOf: (_, service) => (service.family === family ? RR_OCTETS + octets : 0),
    mergesAddresses: true,
  };
}

function purposeOf(qtype: number): Purpose {
  return PURPOSES.get(qtype) ?? OTHER;
}
