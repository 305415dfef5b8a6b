/**
 * The domains of a server, and how far below a name it gathers services, as far as a command on its store can know that:
 * from the variables of `serve` and from SkyDNS's key `/<prefix>/config`. Agrees with `readConfig` and `withStoreConfig`, without their many options. Pure.
 */
import type { Name } from '../dns/name.ts';
import { isEmpty } from './legacyOptions.ts';
import { variablesOf } from './options/option.ts';
import { SERVE_OPTIONS } from './options/serveOptions.ts';
import { parseValue, readSettings, type Sources } from './settings.ts';

const ROWS = { domains: SERVE_OPTIONS.domains };

export const DEFAULT_DOMAINS: readonly Name[] = ROWS.domains.fallback;

export type GivenDomains =
  | { readonly kind: 'domains'; readonly domains: readonly Name[] }
  | { readonly kind: 'none' }
  | { readonly kind: 'mistake' };

/** The domains that variables set. */
export function domainsOfVariables({
  env,
  readFile,
}: Pick<Sources, 'env' | 'readFile'>): GivenDomains {
  const own = Object.fromEntries(variablesOf(ROWS.domains).map((name) => [name, env[name]]));
  const sources: Sources = { flags: {}, env: own, file: undefined, readFile };
  const { settings, origins, mistakes } = readSettings(ROWS, sources);
  if (mistakes.length > 0) return { kind: 'mistake' };
  if (origins.domains === 'default') return { kind: 'none' };
  return { kind: 'domains', domains: settings.domains };
}

const DEPTH_ROWS = { depth: SERVE_OPTIONS.aggregateDepth };

/** How many labels below a name its answers are gathered; infinite without a limit in the variables. */
export function aggregateDepthOfVariables({
  env,
  readFile,
}: Pick<Sources, 'env' | 'readFile'>): number {
  const { settings } = readSettings(DEPTH_ROWS, { flags: {}, env, file: undefined, readFile });
  return settings.depth ?? Number.POSITIVE_INFINITY;
}

/** The domains in the JSON of SkyDNS's key; undefined if it sets none or is invalid. */
export function domainsOfStoreConfig(json: string): readonly Name[] | undefined {
  let found: readonly Name[] | undefined;
  for (const [key, raw] of membersOf(json)) {
    if (raw === null || isEmpty(raw) || !ROWS.domains.jsonKeys?.includes(key)) continue;
    const parsed = parseValue(ROWS.domains, raw);
    if (parsed.kind === 'value') found = parsed.value as readonly Name[];
  }
  return found;
}

function membersOf(json: string): readonly (readonly [key: string, raw: unknown])[] {
  try {
    const value: unknown = JSON.parse(json);
    const isObject = typeof value === 'object' && value !== null && !Array.isArray(value);
    return isObject ? Object.entries(value) : [];
  } catch {
    return [];
  }
}
