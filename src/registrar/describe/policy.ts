/**
 * Which of the names and addresses that containers ask for the operator lets them have. A name inside the zones may be
 * refused for three reasons: clients rely on it, it is outside its project's part, or no `--allow` lists it. Each reason
 * continues the name to a sentence, and says what to do. PURE.
 */
import { foldName, isSubdomainOf, type Name } from '../../dns/name.ts';
import {
  matchesPattern,
  type NamePattern,
  needsProject,
  printPattern,
} from '../../service/namePattern.ts';
import type { RegistrarContext } from './context.ts';
import { shown } from './description.ts';
import { zoneDepth } from './names.ts';

export interface RegistrationPolicy {
  /** In front of the names of options: `register-` where a server has the registrar. */
  readonly optionPrefix: '' | 'register-';
  /** `undefined`: any name. */
  readonly allow: readonly NamePattern[] | undefined;
  /** Whether names lie in their project's part of the zones. */
  readonly projectScope: boolean;
  /** What DNS_IP may say; `undefined`: any address. */
  readonly dnsIpAllow: AllowedAddresses | undefined;
}

export interface AllowedAddresses {
  has(address: string): boolean;
  /** The networks, for messages. */
  readonly networks: string;
}

/** What is read of the context. */
export type PolicyContext = Pick<
  RegistrarContext,
  'policy' | 'zones' | 'defaultZone' | 'region' | 'serviceDomain' | 'labelPrefix' | 'compat'
>;

const MAX_LISTED = 90;

/**
 * Why some of a container's names are refused. They are judged together, as a name may depend on another one. The label
 * of a name that is not known yet is `UNKNOWN_LABEL`.
 */
export function judgeNames(
  names: readonly Name[],
  project: string | undefined,
  context: PolicyContext,
): ReadonlyMap<Name, string> {
  const refused = new Map<Name, string>();
  const held = new Set<string>();
  // Names come before those below them, which depend on them.
  for (const name of [...names].sort((a, b) => a.length - b.length)) {
    const folded = foldName(name);
    const reason =
      whyReserved(folded, context.zones, (above) => held.has(above.join('.'))) ??
      whyOutOfScope(folded, project, context) ??
      whyNotAllowed(folded, project, context);
    if (reason === undefined) held.add(folded.join('.'));
    else refused.set(name, reason);
  }
  return refused;
}

function whyOutOfScope(
  name: Name,
  project: string | undefined,
  context: PolicyContext,
): string | undefined {
  if (context.policy?.projectScope !== true) return undefined;
  const option = `--${context.policy.optionPrefix}project-scope`;
  if (project === undefined)
    return `belongs to no project, and ${option} asks for one: ${projectFix(context)}`;
  const parts = projectPartsOf(project, context);
  if (parts.some((part) => isSubdomainOf(name, part))) return undefined;
  const listed = parts.map((part) => part.join('.'));
  return `is outside ${shown(listed.join(', '), MAX_LISTED)}, to which ${option} confines project ${shown(project, 40)}: choose a name there`;
}

/**
 * The parts of the zones that a project has: where its automatic names lie. One that holds all of a region, or a zone,
 * would hold the parts of other projects and is none.
 */
function projectPartsOf(project: string, context: PolicyContext): Name[] {
  const roots = rootsOf(context);
  const parts = roots.map((root) => [project, ...root]);
  return parts.filter((part) => !roots.some((root) => isSubdomainOf(root, part)));
}

/** What comes behind the project: the region, and `--service-domain` or the zones. registrator's names have neither. */
function rootsOf({
  compat,
  region,
  serviceDomain: domain,
  zones,
  defaultZone,
}: PolicyContext): readonly Name[] {
  if (compat === 'registrator') return zones;
  const regions = foldName(region?.split('.') ?? []);
  if (domain === undefined) return zones.map((zone) => [...regions, ...zone]);
  const labels = foldName(domain.replace(/\.$/, '').split('.'));
  // As for the name that it becomes a part of: in none of the zones, it is below the default one.
  const isInZone = zones.some((zone) => isSubdomainOf(labels, zone));
  return [[...regions, ...labels, ...(isInZone ? [] : defaultZone)]];
}

function whyNotAllowed(
  name: Name,
  project: string | undefined,
  { policy, labelPrefix }: PolicyContext,
): string | undefined {
  if (policy?.allow === undefined) return undefined;
  const { allow, optionPrefix } = policy;
  if (allow.some((pattern) => matchesPattern(pattern, name, project))) return undefined;
  const option = `--${optionPrefix}allow`;
  const listed = shown(allow.map((one) => printPattern(one, project)).join(', '), MAX_LISTED);
  const isProjectMissing = project === undefined && allow.some(needsProject);
  const fix = isProjectMissing
    ? projectFix({ labelPrefix })
    : `choose one of these, or add it with ${option}`;
  return `is none of the names that containers may have (${option}: ${listed}): ${fix}`;
}

function projectFix({ labelPrefix }: Pick<PolicyContext, 'labelPrefix'>): string {
  return `start it with Compose, or label it ${labelPrefix}project=NAME`;
}

/** Why an address that a container states is refused; continues "it" to a sentence. */
export function whyNotStated(address: string, { policy }: Pick<PolicyContext, 'policy'>) {
  const allowed = policy?.dnsIpAllow;
  if (policy === undefined || allowed === undefined || allowed.has(address)) return undefined;
  const option = `--${policy.optionPrefix}dns-ip-allow`;
  const networks = shown(allowed.networks, MAX_LISTED);
  return `is said to be at ${address}, which is in none of the networks of ${option} (${networks}): leave the address out, or add its network`;
}

/**
 * Names that no container may have inside the zones, as clients trust whoever has them. An aggregate answers for the
 * names below it (`x.wpad` for `wpad`), so the label counts wherever it stands. Keys that are set by hand are the
 * operator's business. PURE.
 */

/** By label: what clients do with the name. */
const RESERVED: ReadonlyMap<string, string> = new Map([
  ['wpad', 'from which browsers take their proxy'],
  ['isatap', 'which Windows uses as its IPv6 router'],
  ['localhost', 'which programs take for their own host'],
]);

/** RFC 8555 §8.4: who answers there gets certificates for the name above. */
const ACME_CHALLENGE = '_acme-challenge';

/** `name` is folded. `isHeld`: whether the container has that name, too. The zones' own labels are the operator's. */
export function whyReserved(
  name: Name,
  zones: readonly Name[],
  isHeld: (above: Name) => boolean,
): string | undefined {
  for (const [i, label] of name.slice(0, name.length - zoneDepth(name, { zones })).entries()) {
    const use = RESERVED.get(label);
    if (use !== undefined)
      return `has the label ${label}, ${use}: choose another name (only soradns set may use it)`;
    const above = name.slice(i + 1);
    if (label.startsWith(ACME_CHALLENGE) && !isHeld(above))
      return `would get certificates for ${above.join('.')}, which is no name of this container: give it that name too`;
  }
  return undefined;
}

/** Of an ACME challenge, or a name below one: the name for which certificates are given there. */
export function nameVouchedFor(name: Name): Name | undefined {
  const at = name.findIndex((label) => label.startsWith(ACME_CHALLENGE));
  return at < 0 ? undefined : name.slice(at + 1);
}
