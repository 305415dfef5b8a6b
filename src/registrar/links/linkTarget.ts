/**
 * Checks what a link leads to: the name of a service, `NAME:PORT`, or `IP:PORT` and `NAME:PORT` in a list. The ambassador
 * parses the text again; this check is for the operator's policy, and reports mistakes where containers are explained.
 */
import { canonicalAddress } from '../../dns/address.ts';
import { foldName, type Name, parseName } from '../../dns/name.ts';
import { endpointAt } from '../describe/addressChoice.ts';
import { isNot, shown } from '../describe/description.ts';
import type { LinkHost } from '../describe/policy.ts';

export type CheckedTarget =
  | { readonly kind: 'target'; readonly hosts: readonly LinkHost[] }
  /** Completes the sentence that the variable or label begins. */
  | { readonly kind: 'refused'; readonly reason: string };

/** Limits against hostile containers. */
const MAX_TARGET_CHARACTERS = 1024;
const MAX_HOSTS = 16;

const FORMS = 'NAME, NAME:PORT or IP:PORT';

export function checkTarget(text: string): CheckedTarget {
  if (text.length > MAX_TARGET_CHARACTERS)
    return refused(`is longer than ${MAX_TARGET_CHARACTERS} characters: shorten it`);
  if (text.includes('://'))
    return refused(`is "${shown(text, 40)}": a link takes ${FORMS}, and no key of a store`);
  const parts = text.split(',').map((part) => part.trim());
  if (parts.length > MAX_HOSTS)
    return refused(`lists ${parts.length} places, and at most ${MAX_HOSTS} are allowed`);
  const hosts: LinkHost[] = [];
  for (const part of parts) {
    const host = hostOf(part, parts.length > 1);
    if (typeof host === 'string') return refused(host);
    hosts.push(host);
  }
  return { kind: 'target', hosts };
}

/** The host, or the reason against it. Only a single name may leave out its port, which then comes from the service. */
function hostOf(part: string, isListed: boolean): LinkHost | string {
  const [, bracketed, plain = '', digits] =
    /^(?:\[([^\]]*)\]|([^:[\]]*))(?::([0-9]{1,5}))?$/.exec(part) ?? [];
  const port = digits === undefined ? undefined : Number(digits);
  if (port !== undefined && (port < 1 || port > 65_535)) return isNot(part, FORMS);
  const address = canonicalAddress(bracketed ?? plain)?.address;
  if (address !== undefined) {
    if (port === undefined) return `is "${shown(part, 40)}" without a port: write IP:PORT`;
    // A proxy would connect from the host: to the host's own loopback, or to the metadata service of a cloud.
    if (endpointAt(address, port) === undefined)
      return `is "${shown(part, 40)}", and links lead only to addresses that other hosts can reach`;
    return { kind: 'address', address };
  }
  const name = bracketed === undefined ? hostNameOf(plain) : undefined;
  if (name === undefined) return isNot(part, FORMS);
  if (port === undefined && isListed)
    return `is "${shown(part, 40)}" without a port: in a list, write NAME:PORT`;
  return { kind: 'name', name };
}

/** The top label has a letter, so that a mistyped address is no name. Nor is `true`, which is meant for a switch. */
function hostNameOf(text: string): Name | undefined {
  if (!/^[A-Za-z0-9_](?:[A-Za-z0-9_.-]*[A-Za-z0-9_.])?$/.test(text)) return undefined;
  const name = parseName(text);
  if (name === undefined || !/[a-z]/i.test(name.at(-1) ?? '')) return undefined;
  return /^(?:true|false|yes|no|on|off)$/i.test(text) ? undefined : foldName(name);
}

function refused(reason: string): CheckedTarget {
  return { kind: 'refused', reason };
}
