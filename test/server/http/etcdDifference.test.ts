/**
 * Sends the same requests to a real etcd's v2 API and to soradns. The replies must agree in status, error, action and
 * nodes; the absolute indices may differ. The line of an intended difference gives its form and reason.
 */
import assert from 'node:assert/strict';
import { after, before, test } from 'node:test';
import { type Etcd, startEtcd } from '../../support/etcd.ts';
import { type RunningHttp, startHttp } from '../../support/http.ts';
import { type Received, send } from '../../support/httpRequest.ts';

let etcd: Etcd;
let ours: RunningHttp;

before(async () => {
  etcd = await startEtcd({ enableV2: true });
  ours = await startHttp();
});
after(async () => {
  await ours.stop();
  await etcd.stop();
});

/** `METHOD path [body]`; `@` is the last modifiedIndex from this server. */
type Line =
  | string
  | { readonly line: string; readonly ours: Partial<Outcome>; readonly why: string };

interface Outcome {
  readonly status: number;
  readonly errorCode: number | undefined;
  readonly cause: string | undefined;
  readonly action: string | undefined;
  readonly node: unknown;
  readonly prevNode: unknown;
  readonly relations: readonly string[];
}

const AT_THE_ROOT: readonly Line[] = [
  'GET /',
  'PUT / value=x',
  'PUT / dir=true',
  'PUT / dir=true&prevExist=true',
  'DELETE /',
  'DELETE /?recursive=true',
  'DELETE /?dir=true',
  'GET /?recursive=true',
  'POST / value=1',
  'PUT /_hidden value=1',
  'PUT /one value=1',
  'PUT /a/b value=1',
  'GET /',
  'GET /?recursive=true&sorted=true',
  'GET /?wait=true&recursive=true&waitIndex=@',
];

/** Each scenario runs below its own directory. */
const SEQUENCES: Record<string, readonly Line[]> = {
  'leaves: set, create, update, compare': [
    'GET /a',
    'PUT /a value=1',
    'PUT /a value=2',
    'GET /a',
    'HEAD /a',
    'PUT /a value=3&prevExist=false',
    'PUT /a value=3&prevExist=true',
    'PUT /b value=3&prevExist=true',
    'PUT /a value=4&prevValue=9',
    'PUT /a value=4&prevIndex=999999',
    'PUT /a value=4&prevIndex=999999&prevValue=7',
    'PUT /a value=4&prevValue=3',
    'PUT /a value=5&prevIndex=@',
    'PUT /a value=5&prevIndex=@&prevValue=nope',
    'PUT /a value=5&prevIndex=@&prevValue=5',
    'PUT /a value=6&prevExist=false&prevValue=5',
    'PUT /a value=6&prevExist=true&prevValue=x',
    'PUT /a value=6&prevExist=true&prevValue=5',
    'PUT /new value=5&prevExist=false&prevValue=x',
    'PUT /new2 value=5&prevExist=false&prevIndex=77',
    'PUT /none value=5&prevValue=x',
    'PUT /none value=5&prevIndex=3',
    'PUT /a value=7&prevIndex=0',
    'PUT /a',
    'PUT /a value=',
    'PUT /a value=x&prevExist=1',
    'PUT /a?value=query',
    'PUT /a?value=query value=body',
    'PUT /a value=a&value=b',
    'PUT /a value=a+b%20c%2B',
    'PUT /a value=%e3%81%82',
    'PUT /a value=あ<>',
    'GET /a',
    'PUT /a?noValueOnSuccess=true value=1',
    'GET /a?noValueOnSuccess=true',
    'PUT /a?recursive=true&sorted=true&quorum=true value=1',
    'GET /a?recursive=true&sorted=true&quorum=true',
  ],
  directories: [
    'GET /',
    'PUT /d/e/f value=1',
    'GET /d',
    'GET /d/',
    'GET /d?recursive=true',
    'GET /d?recursive=false',
    'GET /d/e/f/',
    'GET /d/e/f/g',
    'GET /d/e/f/g/h',
    'PUT /d/e/f/g value=1',
    'PUT /d value=1',
    'PUT /d dir=true',
    'PUT /d dir=true&prevExist=false',
    'PUT /d dir=true&prevExist=true',
    'PUT /d value=x&prevExist=true',
    'PUT /d value=x&prevValue=x',
    'PUT /d value=x&prevIndex=999999',
    'PUT /nd dir=true',
    'GET /nd',
    'PUT /nd dir=true',
    'PUT /nd/x value=1',
    'GET /nd',
    'DELETE /nd?dir=true',
    'DELETE /nd/x',
    'GET /nd',
    'PUT /lf value=x',
    'PUT /lf dir=true',
    'GET /lf',
    'PUT /lf2 value=x',
    'PUT /lf2 dir=true&prevExist=true',
    'PUT /lf2 dir=true&prevExist=false',
    'PUT /lf2 dir=true&prevValue=x',
    'PUT /deep/er dir=true',
    'PUT /deep/er/est dir=true&prevExist=false',
    'GET /deep?recursive=true',
    'GET /?recursive=true&sorted=true',
    'GET /?sorted=true',
    {
      line: 'PUT /d dir=true&prevExist=true&ttl=100',
      ours: {
        status: 400,
        errorCode: 209,
        action: undefined,
        node: undefined,
        prevNode: undefined,
        relations: [],
        cause: '"ttl" of a directory is not supported: set it on the keys below',
      },
      why: 'a store of flat keys cannot let a directory expire, and ignoring the TTL would keep expired names',
    },
  ],
  deleting: [
    'PUT /x/y/z value=1',
    'DELETE /none',
    'DELETE /x',
    'DELETE /x?dir=true',
    'DELETE /x?prevValue=1',
    'DELETE /x?dir=true&prevValue=1',
    'DELETE /x/y/z/below',
    'DELETE /x?recursive=true',
    'GET /x',
    'PUT /l value=y',
    'DELETE /l?prevValue=x',
    'DELETE /l?prevIndex=999999',
    'DELETE /l?prevValue=',
    'DELETE /l?prevValue=y',
    'DELETE /l?prevValue=y',
    'PUT /l value=y',
    'DELETE /l?prevIndex=@',
    'PUT /l value=y',
    'DELETE /l?prevIndex=0',
    'PUT /l value=y',
    'DELETE /l?dir=true',
    'PUT /l value=y',
    'DELETE /l?recursive=true',
    'PUT /l value=y',
    'DELETE /l dir=true',
    'PUT /dd dir=true',
    'DELETE /dd',
    'DELETE /dd dir=true',
    'DELETE /dd?prevIndex=@&dir=true',
    'DELETE /dd?dir=true',
    'PUT /dd dir=true',
    'DELETE /dd?recursive=true&dir=true',
    'PUT /gone/one value=1',
    'DELETE /gone/one',
    {
      line: 'GET /gone',
      ours: { status: 404, errorCode: 100, cause: '/gone', action: undefined, node: undefined },
      why: 'in soradns a directory exists as long as keys are below it',
    },
  ],
  'time to live': [
    'PUT /t value=1&ttl=100',
    'GET /t',
    'PUT /t ttl=200&refresh=true&prevExist=true',
    'PUT /t ttl=200&refresh=true',
    'GET /t',
    'PUT /t value=9&ttl=200&refresh=true',
    'PUT /tt ttl=200&refresh=true',
    'PUT /tt ttl=200&refresh=true&prevExist=true',
    'PUT /t refresh=true',
    'PUT /t ttl=200&refresh=true&prevValue=no',
    'PUT /t ttl=200&refresh=true&prevValue=1',
    'PUT /t value=2&ttl=100&prevExist=true',
    'PUT /t value=2&ttl=',
    'GET /t',
    'PUT /t value=2&ttl=50',
    'PUT /t value=2',
    'GET /t',
    'PUT /t value=2&ttl=50&prevExist=true',
    'PUT /t value=2&prevExist=true',
    'DELETE /t',
  ],
  'in order': [
    'POST /q value=1',
    'POST /q value=2',
    'POST /q value=3&ttl=50',
    'POST /q dir=true',
    'POST /q',
    'POST /q value=1&prevExist=true',
    'POST /q value=1&prevValue=true&recursive=true',
    'GET /q?recursive=true&sorted=true',
    'PUT /leaf value=1',
    'POST /leaf value=1',
    'POST /leaf/below value=1',
  ],
  'hidden nodes': [
    'PUT /_h/x value=1',
    'GET /',
    'GET /?recursive=true',
    'GET /_h',
    'GET /_h/x',
    'PUT /v/_h value=1',
    'GET /v',
    'PUT /v/w value=1',
    'GET /v',
    'GET /v?recursive=true',
    'DELETE /v?dir=true',
    'PUT /_d dir=true',
    'GET /_d',
  ],
  paths: [
    'PUT /x%2fy value=1',
    'GET /x/y',
    'PUT /sp%20ace value=1',
    'GET /sp%20ace',
    'PUT /%e3%81%82 value=1',
    'PUT /a%2e%2e value=1',
    'GET /bad%zz',
    'GET /+plus',
    'PUT /plus+ value=1',
    'PATCH /a',
    {
      line: 'PUT /a/../clean value=1',
      ours: {
        status: 201,
        action: 'set',
        node: { key: '/clean', value: '1', indices: true },
        relations: ['modified = index'],
      },
      why: 'etcd redirects to the clean path, which no client follows for a PUT',
    },
    {
      line: 'GET /nul%00',
      ours: { status: 400, errorCode: 209, cause: 'the key contains a NUL' },
      why: 'no name has such a key',
    },
    {
      line: 'GET /bad%ff',
      ours: { status: 400, errorCode: 209, cause: 'the key is not UTF-8' },
      why: 'JSON could not give it back',
    },
  ],
  'wrong fields': [
    'PUT /f value=1',
    ...['ttl=-1', 'ttl=abc', 'ttl=1.5', 'ttl=99999999999999999999', 'ttl=0x10'],
    ...['prevIndex=abc', 'prevIndex=-1', 'prevIndex=', 'prevIndex=99999999999999999999'],
    ...['prevExist=abc', 'prevExist=', 'prevExist=yes', 'prevValue=', 'dir=abc', 'dir='],
    ...['refresh=abc', 'wait=true', 'wait=false', 'recursive=x', 'waitIndex=x'],
    ...['prevIndex=x&ttl=y', 'ttl=y&prevExist=z', 'dir=x&prevValue=', '=1', 'a&b'],
  ].map((field) => (field.startsWith('PUT') ? field : `PUT /f value=1&${field}`)),
  'wrong queries': [
    'PUT /f value=1',
    ...['recursive', 'wait', 'sorted', 'quorum', 'stream', 'waitIndex', 'prevIndex', 'dir'].map(
      (name) => `GET /f?${name}=abc`,
    ),
    'GET /f?wait=true&waitIndex=abc',
    'GET /f?recursive=',
    'DELETE /f?wait=true',
    'PUT /f?wait=true value=x',
    'PUT /f?value=%zz',
    'PUT /f value=%zz',
    'PUT /f value=%z',
    'PUT /f value=%',
    'PUT /f value=a;b',
    'GET /f?a;b',
    {
      line: 'PUT /f value=%ff',
      ours: {
        status: 400,
        errorCode: 209,
        cause: 'the form holds octets that are not UTF-8',
        action: undefined,
        node: undefined,
        prevNode: undefined,
        relations: [],
      },
      why: 'JSON could not give it back',
    },
    {
      line: 'PUT /f value=1&ttl=9999999999999',
      ours: {
        status: 400,
        errorCode: 209,
        action: undefined,
        node: undefined,
        prevNode: undefined,
        relations: [],
        cause: 'a TTL is a whole number of seconds, 1..9000000000',
      },
      why: 'etcd overflows and gives another TTL',
    },
  ],
  'waits for past indices': [
    'PUT /w/a value=1',
    'GET /w/a?wait=true&waitIndex=@',
    'GET /w?wait=true&recursive=true&waitIndex=@',
    'GET /?wait=true&recursive=true&waitIndex=@',
    'PUT /w/a value=2',
    'GET /w/a?wait=true&waitIndex=@',
    'DELETE /w/a',
    'GET /w/a?wait=true&waitIndex=@',
    'PUT /w/_hidden value=1',
    'PUT /w/dir dir=true',
    'GET /w?wait=true&recursive=true&waitIndex=@',
    'PUT /w/dir/one value=1',
    'PUT /w/dir/two value=2',
    'DELETE /w/dir?recursive=true',
    'GET /w/dir?wait=true&waitIndex=@',
    'GET /w?wait=true&recursive=true&waitIndex=@',
    'GET /w/dir/one?wait=true&waitIndex=@',
    'GET /w/dir/one?wait=true&recursive=true&stream=false&waitIndex=@',
  ],
};

test('The keys API answers requests for the root as etcd does', { timeout: 60_000 }, () =>
  compare('', AT_THE_ROOT),
);

for (const [name, lines] of Object.entries(SEQUENCES)) {
  test(`The keys API answers as etcd does: ${name}`, { timeout: 60_000 }, () =>
    compare(`/${name.replaceAll(/\W+/g, '-')}`, lines),
  );
}

async function compare(root: string, lines: readonly Line[]): Promise<void> {
  const theirs = new Replay(`http://${etcd.endpoint}`, root);
  const mine = new Replay(ours.url, root);
  // Created explicitly, so that soradns also keeps it when it is empty.
  if (root !== '') for (const replay of [theirs, mine]) await replay.play('PUT / dir=true');
  for (const each of lines) {
    const line = typeof each === 'string' ? each : each.line;
    const expected = await theirs.play(line);
    const actual = await mine.play(line);
    const difference = typeof each === 'string' ? {} : each.ours;
    assert.deepEqual(actual, { ...expected, ...difference }, line);
    // A difference that has disappeared must lose its line here.
    if (typeof each !== 'string') assert.notDeepEqual(actual, expected, `${line}: ${each.why}`);
  }
}

interface NodeLike {
  readonly key?: string;
  readonly value?: string;
  readonly dir?: boolean;
  readonly ttl?: number;
  readonly expiration?: string;
  readonly nodes?: readonly NodeLike[];
  readonly modifiedIndex?: number;
  readonly createdIndex?: number;
}

interface ReplyLike {
  readonly errorCode?: number;
  readonly cause?: string;
  readonly action?: string;
  readonly node?: NodeLike;
  readonly prevNode?: NodeLike;
}

/** Sends lines to one server below one directory, and stores the index for `@`. */
class Replay {
  readonly #url: string;
  readonly #root: string;
  #index = 0;

  constructor(url: string, root: string) {
    this.#url = url;
    this.#root = root;
  }

  async play(line: string): Promise<Outcome> {
    const [method = '', target = '', body] = line.replaceAll('@', String(this.#index)).split(' ');
    const path = `/v2/keys${this.#root}${target}`;
    const received = await send(this.#url, {
      method,
      path,
      ...(body === undefined ? {} : { body }),
    });
    const reply = (received.json ?? {}) as ReplyLike;
    this.#index = reply.node?.modifiedIndex ?? this.#index;
    return {
      status: received.status,
      errorCode: reply.errorCode,
      cause: reply.cause && this.#anonymous(reply.cause, reply.errorCode),
      action: reply.action,
      node: reply.node && this.#shape(reply.node),
      prevNode: reply.prevNode && this.#shape(reply.prevNode),
      relations: method === 'GET' ? [] : relations(reply, received),
    };
  }

  #anonymous(cause: string, code: number | undefined): string {
    const below = cause.startsWith(this.#root) ? cause.slice(this.#root.length) : cause;
    return code === 101 ? below.replaceAll(/\d+/g, '#') : below;
  }

  #shape(node: NodeLike): unknown {
    const { key, nodes, modifiedIndex, createdIndex, ttl, expiration, ...rest } = node;
    const below = nodes?.map((one) => this.#shape(one)) as { key: string }[] | undefined;
    return {
      ...rest,
      ...(key === undefined ? {} : { key: this.#plainKey(key) }),
      ...(ttl === undefined ? {} : { ttl }),
      ...(expiration === undefined ? {} : { expires: Date.parse(expiration) > Date.now() }),
      ...(below === undefined ? {} : { nodes: below.sort((a, b) => (a.key < b.key ? -1 : 1)) }),
      indices: modifiedIndex !== undefined && createdIndex !== undefined,
    };
  }

  #plainKey(key: string): string {
    assert.ok(key.startsWith(this.#root), key);
    return key.slice(this.#root.length).replaceAll(/\/\d{20}/g, '/#');
  }
}

/** The relation between the indices of a write. After a plain `set` soradns keeps the older createdIndex. */
function relations({ action, node, prevNode }: ReplyLike, { headers }: Received): string[] {
  if (node === undefined) return [];
  const found: string[] = [];
  if (String(node.modifiedIndex) === headers['x-etcd-index']) found.push('modified = index');
  if (action === 'create' && node.createdIndex === node.modifiedIndex) found.push('fresh');
  if (action !== 'set' && node.createdIndex === prevNode?.createdIndex) found.push('same origin');
  if (Number(prevNode?.modifiedIndex) < Number(node.modifiedIndex)) found.push('later');
  return found;
}
