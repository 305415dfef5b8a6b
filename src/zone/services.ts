/** The services that answer for a name in our zones: the special names resolved, then selected, merged and grouped. */
import { equalNames, foldName, type Name } from '../dns/name.ts';
import { Type } from '../dns/rr.ts';
import { inGroup, withoutDuplicates } from './merge.ts';
import { hasName, type IsUseful, type Selected, select } from './select.ts';
import type { Work } from './work.ts';

/** `undefined`: the name does not exist. Empty: it does, without a service of its own kind. */
export function servicesAt(
  work: Work,
  owner: Name,
  apex: Name,
  qtype: number,
): readonly Selected[] | undefined {
  const name = nameToLookUp(work, foldName(owner), apex, qtype);
  const selection = select(work, name, usefulFor(qtype));
  if (selection.kind === 'missing') return undefined;
  return inGroup(withoutDuplicates(selection.services), selection.sampledBelow);
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

function usefulFor(qtype: number): IsUseful {
  switch (qtype) {
    case Type.A:
      return ({ family, target }) => family === 4 || target !== undefined;
    case Type.AAAA:
      return ({ family, target }) => family === 6 || target !== undefined;
    case Type.TXT:
      return ({ attributes, target }) => attributes.text !== '' || target !== undefined;
    case Type.MX:
      return ({ attributes }) => attributes.mail;
    default:
      return ({ family, target }) => family !== 0 || target !== undefined;
  }
}
