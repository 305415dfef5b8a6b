/** The links that a command line, or the labels of a container, ask for: aliases with names of services. */
import { type Spelling, variablePrefix } from '../../ambassador/linkVariables.ts';
import { Failure, type FailureCode } from '../../app/process/failure.ts';
import { engineEndpoint } from '../../app/process/network.ts';
import type { Io } from '../../app/process/process.ts';
import { REGISTRAR_OPTIONS } from '../../config/options/registrarOptions.ts';
import { type Arguments, readSettings } from '../../config/settings.ts';
import { foldName, type Name, parseName } from '../../dns/name.ts';
import { readContainer } from '../../registrar/describe/container.ts';
import { readLinkSettings } from '../../registrar/describe/linkKeys.ts';
import { asContainerId } from '../../registrar/engine/containerId.ts';
import { EngineError, type Inspection } from '../../registrar/engine/engine.ts';

export interface WantedLink {
  readonly alias: string;
  /** Folded. */
  readonly name: Name;
}

/** The registrar's options that decide which container is read, and which of its labels are links. */
export const LINK_ENGINE_OPTIONS = {
  dockerHost: REGISTRAR_OPTIONS.dockerHost,
  labelPrefix: REGISTRAR_OPTIONS.labelPrefix,
};

const EXAMPLE = 'for example soradns links db=db.skydns.local';

/** Throws a `Failure` if there is none, or if two would have the same variables. */
export async function wantedLinks(
  args: Arguments,
  spelling: Spelling,
  io: Io,
): Promise<readonly WantedLink[]> {
  const { container } = args.flags;
  const links = [
    ...args.words.map(linkOfWord),
    ...(typeof container === 'string' ? await linksOfContainer(container, args, io) : []),
  ];
  if (links.length === 0) throw new Failure('usage', 'no links', EXAMPLE);
  refuseTwice(links, spelling);
  return links;
}

function linkOfWord(word: string): WantedLink {
  const at = word.indexOf('=');
  if (at <= 0) throw new Failure('usage', `${word}: is not ALIAS=NAME`, EXAMPLE);
  return linkOf(word.slice(0, at), word.slice(at + 1), word);
}

/** Docker takes other aliases too, but they would be neither names of variables nor of hosts. */
const ALIAS = /^[A-Za-z0-9][A-Za-z0-9_.-]{0,62}$/;

function linkOf(alias: string, text: string, source: string): WantedLink {
  if (!ALIAS.test(alias)) {
    const problem = `${source}: the alias has other characters than letters, digits, _, . and -, or is too long`;
    throw new Failure('usage', problem, EXAMPLE);
  }
  const name = text === '' || /[\s:/]/.test(text) ? undefined : parseName(text);
  if (name === undefined || name.length === 0)
    throw new Failure('usage', `${source}: ${JSON.stringify(text)} is not a domain name`, EXAMPLE);
  return { alias, name: foldName(name) };
}

function refuseTwice(links: readonly WantedLink[], spelling: Spelling): void {
  const seen = new Map<string, string>();
  for (const { alias } of links) {
    const prefix = variablePrefix(alias, spelling);
    const other = seen.get(prefix);
    if (other === alias) throw new Failure('usage', `${alias}: the alias is given twice`);
    if (other !== undefined)
      throw new Failure('usage', `${other} and ${alias}: both aliases stand for ${prefix}_*`);
    seen.set(prefix, alias);
  }
}

const ENGINE_FAILURES: Readonly<Record<EngineError['code'], FailureCode>> = {
  unreachable: 'unreachable',
  denied: 'not_permitted',
  failed: 'failure',
};

async function linksOfContainer(
  id: string,
  { flags }: Arguments,
  io: Io,
): Promise<readonly WantedLink[]> {
  const { env, readFile } = io;
  const { settings, mistakes } = readSettings(LINK_ENGINE_OPTIONS, {
    flags,
    env,
    readFile,
    file: undefined,
  });
  if (mistakes.length > 0) throw new Failure('usage', mistakes.join('; '));
  const inspection = await inspect(id, settings.dockerHost, io);
  if (inspection === undefined)
    throw new Failure('not_found', `${id}: the engine has no such container`);
  const { labelPrefix } = settings;
  const prefixes = { envPrefix: REGISTRAR_OPTIONS.envPrefix.fallback, labelPrefix };
  const written = readLinkSettings(readContainer(inspection), { ...prefixes, compat: [] });
  // Links of ports are the ambassador's.
  const links = written.flatMap(({ point, value, source }) =>
    point.kind === 'alias' ? [linkOf(point.alias, value, source)] : [],
  );
  if (links.length === 0) {
    const label = `${labelPrefix}link.ALIAS`;
    throw new Failure(
      'not_found',
      `${id}: has no label ${label}`,
      `set ${labelPrefix}link.db=NAME`,
    );
  }
  return links;
}

async function inspect(
  id: string,
  dockerHost: string | undefined,
  io: Io,
): Promise<Inspection | undefined> {
  const endpoint = engineEndpoint(dockerHost, '--docker-host', io);
  const { connectEngine } = await import('../../registrar/engine/dockerode.ts');
  const engine = connectEngine(endpoint);
  try {
    // An engine takes a container's name, and the start of its id, in place of the id.
    return await engine.inspect(asContainerId(id));
  } catch (error) {
    if (!(error instanceof EngineError)) throw error;
    throw new Failure(ENGINE_FAILURES[error.code], error.message);
  } finally {
    engine.close();
  }
}
