/**
 * Routes in the forms of older ambassadors. svendowideit/ambassador takes `HOST PORT`, or the variables of Docker's
 * links, `REDIS_PORT_6379_TCP=tcp://192.168.1.52:6379`; ambassadord takes `BACKEND=…` and `BACKEND_6379=…`. Each becomes
 * the text of a route, `LISTEN=BACKEND`.
 */
import type { ListenAddress, Target } from './route.ts';
import { type IsOurs, parseRoute, printListen, printRouteTarget } from './targetText.ts';

/** The text of a route and the part of the command line or environment that it comes from. */
export interface RouteText {
  readonly text: string;
  readonly source: string;
}

/** The port on which ambassadord listens for `BACKEND`, unless `PORT` names another. */
const AMBASSADORD_PORT = 10_000;

/** The routes of the words, or without words those of the environment. */
export function routeTexts(
  words: readonly string[],
  env: Readonly<Record<string, string | undefined>>,
): readonly RouteText[] {
  const [host, port] = words;
  if (words.length === 2 && host !== undefined && port !== undefined && isHostAndPort(host, port))
    return [{ text: `${port}=${host}:${port}`, source: `${host} ${port}` }];
  if (words.length > 0) return words.map((text) => ({ text, source: text }));
  return Object.entries(env).flatMap(([name, value]) => routeOfVariable(name, value ?? '', env));
}

function isHostAndPort(host: string, port: string): boolean {
  return /^[0-9]{1,5}$/.test(port) && !/[=:,/]/.test(host) && /[A-Za-z.]/.test(host);
}

function routeOfVariable(
  name: string,
  value: string,
  env: Readonly<Record<string, string | undefined>>,
): readonly RouteText[] {
  const source = `${name}=${value}`;
  const [, number, protocol] = /_PORT_([0-9]{1,5})_(TCP|UDP)$/.exec(name) ?? [];
  if (number !== undefined && protocol !== undefined) {
    const scheme = protocol.toLowerCase();
    const prefix = `${scheme}://`;
    if (!value.startsWith(prefix)) return [];
    return [{ text: `${number}/${scheme}=${value.slice(prefix.length)}`, source }];
  }
  const [, port] = /^BACKEND_([0-9]{1,5})$/.exec(name) ?? [];
  if (port !== undefined) return [{ text: `${port}=${value}`, source }];
  if (name !== 'BACKEND') return [];
  return [{ text: `${env.PORT || AMBASSADORD_PORT}=${value}`, source }];
}

export interface ListeningRoute {
  readonly listen: ListenAddress;
  readonly target: Target;
  readonly source: string;
}

export type ListeningRoutes =
  | { readonly kind: 'routes'; readonly routes: readonly ListeningRoute[] }
  /** One line each. Never empty. */
  | { readonly kind: 'mistakes'; readonly mistakes: readonly string[] };

/** Parses the routes. Equal ones count once; different ones with one listening address are a mistake. */
export function parseRoutes(texts: readonly RouteText[], isOurs: IsOurs): ListeningRoutes {
  const routes = new Map<string, ListeningRoute>();
  const mistakes: string[] = [];
  for (const { text, source } of texts) {
    const parsed = parseRoute(text, isOurs);
    if (parsed.kind === 'mistake') {
      mistakes.push(`${source} ${parsed.problem}`);
      continue;
    }
    const { listen, target } = parsed;
    const at = printListen(listen);
    const other = routes.get(at);
    if (other === undefined) routes.set(at, { listen, target, source });
    else if (printRouteTarget(other.target) !== printRouteTarget(target))
      mistakes.push(`${other.source} and ${source} both listen on ${at}`);
  }
  if (mistakes.length > 0) return { kind: 'mistakes', mistakes };
  return { kind: 'routes', routes: [...routes.values()] };
}

/**
 * The first route whose connections would come back to a listener of the routes: one of its addresses is this host's
 * own. `own`: this host's addresses, of loopback too.
 */
export function findLoop(
  routes: readonly ListeningRoute[],
  own: ReadonlySet<string>,
): ListeningRoute | undefined {
  return routes.find(({ listen: { kind }, target }) => {
    if (kind === 'unix' || target.kind !== 'endpoints') return false;
    return target.endpoints.some(({ host, port }) => {
      if (host.kind === 'name' || !isOwn(host.address, own)) return false;
      return routes.some(({ listen }) => listensAt(listen, host.address, port));
    });
  });
}

/** All of 127.0.0.0/8 is this host. */
function isOwn(address: string, own: ReadonlySet<string>): boolean {
  return (
    own.has(address) || address.startsWith('127.') || address === '0.0.0.0' || address === '::'
  );
}

function listensAt(listen: ListenAddress, address: string, port: number): boolean {
  if (listen.kind === 'unix' || listen.port !== port) return false;
  return listen.address === undefined || listen.address === address;
}
