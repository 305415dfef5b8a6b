/**
 * Decides which names and addresses containers may have, and where their links may lead. A name inside the zones is refused for three reasons: clients
 * trust the name, the name is outside its project's part of the zones, or no `--allow` lists it. Each reason
 * completes the sentence that the name begins, and contains the fix. PURE.
 */
import { foldName, isSubdomainOf, type Name } from '../../dns/name.ts';
import { matchesPattern, needsProject, printPattern } from '../../service/namePattern.ts';
import type { RegistrarContext } from './context.ts';
import { shown } from './description.ts';
import { zoneDepth } from './names.ts';

/** The part of the context that the decisions depend on. */
export type PolicyContext = Pick<
  RegistrarContext,
  | 'policy'
  | 'optionPrefix'
  | 'zones'
  | 'defaultZone'
  | 'region'
  | 'serviceDomain'
  | 'labelPrefix'
  | 'compat'
>;

const MAX_LISTED = 90;

/**
 * The refused names of a container with their reasons. All names are judged together, because an ACME challenge depends
 * on the name above it. `UNKNOWN_LABEL` stands for a number that is not claimed yet.
 */
export function judgeNames(
  names: readonly Name[],
  project: string | undefined,
  context: PolicyContext,
): ReadonlyMap<Name, string> {
  const refused = new Map<Name, string>();
  const held = new Set<string>();
  // A name comes before the names below it, which may depend on it.
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
  const option = `--${context.optionPrefix}project-scope`;
  if (project === undefined)
    return `belongs to no project, which ${option} requires: ${projectFix(context)}`;
  const parts = projectPartsOf(project, context);
  if (parts.some((part) => isSubdomainOf(name, part))) return undefined;
  const listed = parts.map((part) => part.join('.'));
  return `is outside ${shown(listed.join(', '), MAX_LISTED)}, to which ${option} confines project ${shown(project, 40)}: choose a name there`;
}

/**
 * The project's parts of the zones, which contain its automatic names. A part that would contain a whole region or
 * zone, and therefore the parts of other projects, does not count.
 */
function projectPartsOf(project: string, context: PolicyContext): Name[] {
  const roots = rootsOf(context);
  const parts = roots.map((root) => [project, ...root]);
  return parts.filter((part) => !roots.some((root) => isSubdomainOf(root, part)));
}

/**
 * The labels after the project: region, and `--service-domain` or the zones. registrator's names have neither region
 * nor service domain.
 */
function rootsOf({
  compat,
  region,
  serviceDomain: domain,
  zones,
  defaultZone,
}: PolicyContext): readonly Name[] {
  if (compat.includes('registrator')) return zones;
  const regions = foldName(region?.split('.') ?? []);
  if (domain === undefined) return zones.map((zone) => [...regions, ...zone]);
  const labels = foldName(domain.replace(/\.$/, '').split('.'));
  // A domain outside all zones lies below the default zone, like the names that contain it.
  const isInZone = zones.some((zone) => isSubdomainOf(labels, zone));
  return [[...regions, ...labels, ...(isInZone ? [] : defaultZone)]];
}

function whyNotAllowed(
  name: Name,
  project: string | undefined,
  { policy, optionPrefix, labelPrefix }: PolicyContext,
): string | undefined {
  if (policy?.allow === undefined) return undefined;
  const { allow } = policy;
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

/** Why an address that a container states is refused. */
export function whyNotStated(
  address: string,
  { policy, optionPrefix }: Pick<PolicyContext, 'policy' | 'optionPrefix'>,
) {
  const allowed = policy?.dnsIpAllow;
  if (allowed === undefined || allowed.has(address)) return undefined;
  const option = `--${optionPrefix}dns-ip-allow`;
  const networks = shown(allowed.networks, MAX_LISTED);
  return `states the address ${address}, which is outside ${option} (${networks}): remove the address, or add its network`;
}

/** A place that a link leads to. */
export type LinkHost =
  | {
      readonly kind: 'name';
      /** Folded. */
      readonly name: Name;
    }
  /** In canonical form. */
  | { readonly kind: 'address'; readonly address: string };

/** Why a container's link may not lead there; completes the sentence that its variable or label begins. */
export function whyNotLinked(
  host: LinkHost,
  project: string | undefined,
  {
    policy,
    optionPrefix,
    labelPrefix,
  }: Pick<RegistrarContext, 'policy' | 'optionPrefix' | 'labelPrefix'>,
): string | undefined {
  const allowed = policy?.linkAllow;
  if (allowed === undefined) return undefined;
  const { names, addresses } = allowed;
  const isAllowed =
    host.kind === 'name'
      ? withoutLeader(host.name).some((name) =>
          names.some((pattern) => matchesPattern(pattern, name, project)),
        )
      : addresses.has(host.address);
  if (isAllowed) return undefined;
  const option = `--${optionPrefix}link-allow`;
  const patterns = names.map((one) => printPattern(one, project));
  const listed = shown(
    [...patterns, addresses.networks].filter((text) => text !== '').join(', '),
    MAX_LISTED,
  );
  const place = host.kind === 'name' ? host.name.join('.') : host.address;
  const isProjectMissing = project === undefined && names.some(needsProject);
  const fix = isProjectMissing
    ? projectFix({ labelPrefix })
    : `choose one of these, or add it with ${option}`;
  return `leads to ${shown(place)}, where links may not lead (${option}: ${listed}): ${fix}`;
}

/** `leader.db` is one of the instances of `db`, so the container that may reach `db` may reach its leader. */
function withoutLeader(name: Name): readonly Name[] {
  return name[0] === 'leader' ? [name, name.slice(1)] : [name];
}

/**
 * Labels that no container may use, because clients trust the name: label -> use by clients. A record below a name
 * also answers for that name (`x.wpad` for `wpad`), so the label counts anywhere. A key that a person sets may use it.
 */
const RESERVED: ReadonlyMap<string, string> = new Map([
  ['wpad', 'from which browsers take their proxy'],
  ['isatap', 'which Windows uses as its IPv6 router'],
  ['localhost', 'which programs take for their own host'],
]);

/** RFC 8555 §8.4: the author of a TXT record there gets certificates for the name above. */
const ACME_CHALLENGE = '_acme-challenge';

/** `name` is folded. `isHeld`: whether the container also has that name. The zones' own labels do not count. */
function whyReserved(
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
      return `would get certificates for ${above.join('.')}, which is not a name of this container: give it that name too`;
  }
  return undefined;
}

/** The name that an ACME challenge, or a name below one, is for; `undefined` for any other name. */
export function challengedName(name: Name): Name | undefined {
  const at = name.findIndex((label) => label.startsWith(ACME_CHALLENGE));
  return at < 0 ? undefined : name.slice(at + 1);
}
