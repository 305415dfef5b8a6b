/** `soradns cache`: shows and flushes the cache of other servers' answers of a running server. */
import { Failure } from '../../app/process/failure.ts';
import { type FetchedReply, fetchJson } from '../../app/process/fetchPage.ts';
import type { Io } from '../../app/process/process.ts';
import { tokenForServer } from '../../app/process/writerToken.ts';
import { DEFAULT_CLIENT_STORE, readClientConfig } from '../../config/clientConfig.ts';
import { type OptionWords, wordsOf } from '../../config/options/option.ts';
import { STORE_OPTIONS } from '../../config/options/storeOptions.ts';
import type { Arguments } from '../../config/settings.ts';
import { parseName, printName } from '../../dns/name.ts';
import { type Command, OUTPUT_OPTIONS } from '../command.ts';
import { jsonLine } from '../output.ts';

const URL_OPTION: OptionWords = {
  name: 'url',
  form: 'text',
  placeholder: 'URL',
  describe: '--http address of the server (SORADNS_CACHE_URL, or an http:// SORADNS_STORE)',
  defaultText: DEFAULT_CLIENT_STORE,
};

const TOKEN_OPTIONS = wordsOf(STORE_OPTIONS).filter(({ name }) => name.startsWith('token'));

export const cacheCommand: Command = {
  name: 'cache',
  summary: 'Show or flush the cache of answers from other servers',
  positionals: [
    {
      name: 'action',
      describe:
        'show: print its size and hits; flush: forget the answers about NAME and the names below it, without NAME all, and print how many had not expired',
      required: true,
      choices: ['show', 'flush'],
    },
    { name: 'name', describe: 'for flush: a domain name', required: false },
  ],
  options: [URL_OPTION, ...TOKEN_OPTIONS, ...OUTPUT_OPTIONS],
  examples: [
    ['soradns cache flush www.example.com', 'ask the upstreams again, after the name has moved'],
    ['soradns cache flush', 'forget every answer'],
    ['soradns cache show', 'see how much of its memory the cache uses'],
  ],
  async run(args, io) {
    const [action, name] = args.words;
    if (action === 'flush') return flush(name, args, io);
    if (name !== undefined) throw new Failure('usage', `${name}: unexpected argument`);
    return show(args, io);
  },
};

async function show(args: Arguments, io: Io): Promise<number> {
  const summary = await call('GET', '/v1/cache', args, io);
  if (args.flags.json) io.stdout.write(`${jsonLine(summary)}\n`);
  else
    for (const [what, value] of Object.entries(summary as object))
      io.stdout.write(`${LABELS.get(what) ?? what}: ${value}\n`);
  return 0;
}

const LABELS: ReadonlyMap<string, string> = new Map([
  ['answers', 'answers'],
  ['usedOctets', 'octets used'],
  ['capacityOctets', 'octets that it may use'],
  ['hits', 'questions answered from the cache'],
  ['evicted', 'answers that left before they expired'],
]);

async function flush(text: string | undefined, args: Arguments, io: Io): Promise<number> {
  // Every name is below the root, which a URL's path cannot name: URL takes a last "." out.
  const path = text === undefined || text === '.' ? '' : `/${encodedName(text)}`;
  const result = (await call('DELETE', `/v1/cache${path}`, args, io)) as { flushed?: unknown };
  if (args.flags.json) io.stdout.write(`${jsonLine(result)}\n`);
  else if (args.flags.quiet) io.stdout.write(`${result.flushed}\n`);
  else io.stdout.write(`flushed answers: ${result.flushed}\n`);
  return 0;
}

function encodedName(text: string): string {
  const name = parseName(text);
  if (text === '' || name === undefined)
    throw new Failure('usage', `${JSON.stringify(text)}: is not a domain name`);
  return encodeURIComponent(printName(name));
}

const TIMEOUT_MS = 10_000;

async function call(
  method: 'GET' | 'DELETE',
  path: string,
  { flags }: Arguments,
  { env, readFile, stateDirectory }: Io,
): Promise<object> {
  const url = flags.url ?? serverIn(env);
  if (typeof url !== 'string' || !HTTP_URL.test(url))
    throw new Failure('usage', `--url: ${JSON.stringify(url)} is not a URL`, EXAMPLE);
  const read = readClientConfig({ flags: { ...flags, store: url }, env, readFile });
  if (read.kind === 'mistakes') throw new Failure('usage', read.mistakes.join('; '));
  const location = read.config.store;
  if (location.kind !== 'http') throw new Failure('usage', `--url: ${url} is not HTTP`, EXAMPLE);
  const found = location.token?.reveal();
  const token =
    method === 'GET' ? undefined : (found ?? (await tokenForServer(location, stateDirectory)));
  const reply = await fetchJson(new URL(path, location.url), TIMEOUT_MS, { method, token });
  return objectIn(reply, location.url);
}

const HTTP_URL = /^https?:\/\/./;

/** A command on a store uses the server in SORADNS_STORE, if it is one. */
function serverIn({ SORADNS_CACHE_URL: url, SORADNS_STORE: store = '' }: Io['env']): string {
  return url || (HTTP_URL.test(store) ? store : DEFAULT_CLIENT_STORE);
}

const EXAMPLE = `for example --url ${DEFAULT_CLIENT_STORE}`;
const NO_SERVER = 'is a server running there? --url chooses another one';

function objectIn(reply: FetchedReply, url: string): object {
  if (reply.kind === 'none')
    throw new Failure('unreachable', `${url}: ${reply.problem}`, NO_SERVER);
  const { status, value } = reply;
  if (status === 404)
    throw new Failure('not_found', `${url}: a server without a cache`, 'see --cache-memory');
  if (status === 401 || status === 403) throw new Failure('not_permitted', causeOf(url, value));
  if (status !== 200 || typeof value !== 'object' || value === null)
    throw new Failure('unreachable', `${url}: HTTP ${status}`);
  return value;
}

/** The server's words for a refusal, as the keys API puts them. */
function causeOf(url: string, value: unknown): string {
  const { cause } = (value ?? {}) as { cause?: unknown };
  return `${url}: ${typeof cause === 'string' ? cause : 'permission denied'}`;
}
