/**
 * registrar/links/: The two ends of a container's link: which ports a consumer links, and where a provider is reached. Pure.
 * Imports: config/options, dns, registrar/describe, registrar/engine, service.
 * Used by: ambassador, app/ambassador, cli/host, registrar.
 *
 * `readLinks` reads what a container asks for. `consumersOf` adds the addresses by which a host tells consumers apart.
 * `localBackendOf` finds the own addresses of a container whose record is in the store.
 */
import { parseSwitch } from '../../config/options/option.ts';
import { type Container, type Port, printPort } from '../describe/container.ts';
import type { RegistrarContext } from '../describe/context.ts';
import { isNot, type Refusal, Refusals, shown } from '../describe/description.ts';
import { type LinkPoint, type LinkSetting, readLinkSettings } from '../describe/linkKeys.ts';
import { readMetadata } from '../describe/metadata.ts';
import { projectOf } from '../describe/names.ts';
import { whyNotLinked } from '../describe/policy.ts';
import { checkTarget } from './linkTarget.ts';

/** A link that the operator's policy allows. */
export type ContainerLink = PortLink | AliasLink;

export interface PortLink {
  readonly kind: 'port';
  /** The consumer connects to this port at an address of its host. */
  readonly port: Port;
  /** As the container states it: `NAME`, `NAME:PORT`, or places `IP:PORT` and `NAME:PORT` with commas. */
  readonly target: string;
  /** Whether the link also leads from the container's own 127.0.0.1. */
  readonly isLocal: boolean;
  /** The variable or label, for messages; printable. */
  readonly source: string;
}

/** For `soradns links`: a name for the variables of a link. */
export interface AliasLink {
  readonly kind: 'alias';
  readonly alias: string;
  readonly target: string;
  readonly source: string;
}

export interface LinkReading {
  /** Ports first, each once; then aliases. */
  readonly links: readonly ContainerLink[];
  readonly refusals: readonly Refusal[];
}

/** The limit for one container. */
const MAX_LINKS = 64;

/** The part of the context that links depend on. */
export type LinkContext = Pick<
  RegistrarContext,
  'envPrefix' | 'labelPrefix' | 'compat' | 'policy' | 'optionPrefix'
>;

/** Reads the links of a container in any state. Never throws; a refused link costs only itself. */
export function readLinks(container: Container, context: LinkContext): LinkReading {
  const written = readLinkSettings(container, context);
  if (written.length === 0) return NO_LINKS;
  const refusals = new Refusals();
  const isLocal = readLocal(written, refusals);
  const settings = onePerPoint(written);
  if (settings.length > MAX_LINKS) {
    const about = `${context.envPrefix}LINK_*`;
    refusals.add(about, `lists ${settings.length} links, and at most ${MAX_LINKS} are allowed`);
    return { links: [], refusals: refusals.list() };
  }
  const project = projectFor(container, context);
  const links: ContainerLink[] = [];
  for (const setting of settings) {
    const reason = whyRefused(setting.value, project, context);
    if (reason === undefined) links.push(linkOf(setting, isLocal));
    else refusals.add(setting.source, reason);
  }
  return { links, refusals: refusals.list() };
}

const NO_LINKS: LinkReading = { links: [], refusals: [] };

/** A wrong value of the switch counts as false. */
function readLocal(written: readonly LinkSetting[], refusals: Refusals): boolean {
  const setting = written.findLast(({ point }) => point.kind === 'local');
  if (setting === undefined) return false;
  const isLocal = parseSwitch(setting.value);
  if (isLocal === undefined) refusals.add(setting.source, isNot(setting.value, 'true or false'));
  return isLocal === true;
}

/** A setting that links a port or an alias. */
interface PointSetting extends LinkSetting {
  readonly point: Exclude<LinkPoint, { readonly kind: 'local' }>;
}

/** The setting that counts for each port and alias. */
function onePerPoint(written: readonly LinkSetting[]): readonly PointSetting[] {
  const ports = new Map<string, PointSetting>();
  const aliases = new Map<string, PointSetting>();
  for (const { point, ...setting } of written) {
    if (point.kind === 'port') ports.set(printPort(point.port), { point, ...setting });
    else if (point.kind === 'alias') aliases.set(point.alias, { point, ...setting });
  }
  return [...ports.values(), ...aliases.values()];
}

function linkOf({ point, value: target, source }: PointSetting, isLocal: boolean): ContainerLink {
  const common = { target, source: shown(source) };
  return point.kind === 'alias'
    ? { kind: 'alias', alias: point.alias, ...common }
    : { kind: 'port', port: point.port, isLocal: point.isLocal || isLocal, ...common };
}

/** The container's project; only a policy about links needs it. */
function projectFor(container: Container, context: LinkContext): string | undefined {
  if (context.policy?.linkAllow === undefined) return undefined;
  return projectOf(container, readMetadata(container, context, new Refusals()));
}

function whyRefused(
  target: string,
  project: string | undefined,
  context: LinkContext,
): string | undefined {
  const checked = checkTarget(target);
  if (checked.kind === 'refused') return checked.reason;
  for (const host of checked.hosts) {
    const reason = whyNotLinked(host, project, context);
    if (reason !== undefined) return reason;
  }
  return undefined;
}
