/** Which requests may pass to an engine, and in which words: only reading, and only what the registrar asks. PURE. */
import type { ReducedKind } from './reducedAnswers.ts';

export interface Question {
  readonly method: 'GET' | 'HEAD';
  /** With the parameters that may pass. */
  readonly path: string;
  /** How its answer is reduced. `plain`: not at all, as it holds nothing but the engine's versions. */
  readonly kind: 'plain' | 'events' | ReducedKind;
}

const VERSION = String.raw`(?:\/v1\.[0-9]{1,3})?`;
const KINDS: readonly (readonly [Question['kind'], RegExp])[] = [
  ['plain', new RegExp(`^${VERSION}/(?:_ping|version)$`)],
  ['info', new RegExp(`^${VERSION}/info$`)],
  ['bridge', new RegExp(`^${VERSION}/networks/bridge$`)],
  ['events', new RegExp(`^${VERSION}/events$`)],
  ['list', new RegExp(`^${VERSION}/containers/json$`)],
  ['inspection', new RegExp(`^${VERSION}/containers/[A-Za-z0-9][A-Za-z0-9_.-]*/json$`)],
];

const MAX_FILTERS_LENGTH = 2048;
/** Seconds since 1970, with nanoseconds. */
const INSTANT = /^[0-9]{1,12}(?:\.[0-9]{1,9})?$/;

/** `undefined`: it may not pass. Parameters that a registrar does not send are left out. */
export function questionOf(
  method: string | undefined,
  url: string | undefined,
): Question | undefined {
  if (method !== 'GET' && method !== 'HEAD') return undefined;
  const [path = '', query = ''] = (url ?? '').split('?', 2);
  const kind = KINDS.find(([, pattern]) => pattern.test(path))?.[0];
  if (kind === undefined) return undefined;
  const parameters = kind === 'events' ? eventParameters(new URLSearchParams(query)) : '';
  return { method, path: `${path}${parameters}`, kind };
}

function eventParameters(query: URLSearchParams): string {
  const passed = new URLSearchParams();
  const filters = query.get('filters');
  for (const name of ['since', 'until']) {
    const instant = query.get(name);
    if (instant !== null && INSTANT.test(instant)) passed.set(name, instant);
  }
  if (filters !== null && filters.length <= MAX_FILTERS_LENGTH) passed.set('filters', filters);
  return passed.size === 0 ? '' : `?${passed}`;
}
