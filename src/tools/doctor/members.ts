/** Queries each member of an etcd cluster on its own: reads like the server's, its version, and its clock. */
import { request as requestPlain } from 'node:http';
import { request as requestTls } from 'node:https';
import { etcdOptions, openStore } from '../../app/process/openStore.ts';
import type { EtcdLocation } from '../../config/storeLocation.ts';
import { StoreError } from '../../store/store.ts';
import type { ClockFacts } from './judge/clock.ts';
import type { MemberFacts, MemberReads } from './judge/etcd.ts';

const READS = 5;
const TIMEOUT_MS = 3_000;

export interface Member {
  readonly facts: MemberFacts;
  /** Absent if the member sent no time. */
  readonly clock: ClockFacts | undefined;
}

/** `prefix` is the prefix of soradns's keys. Throws a `Failure` for unusable certificate files. */
export function queryMembers(location: EtcdLocation, prefix: string): Promise<readonly Member[]> {
  return Promise.all(
    location.endpoints.map((endpoint) =>
      queryMember({ ...location, endpoints: [endpoint] }, prefix),
    ),
  );
}

async function queryMember(location: EtcdLocation, prefix: string): Promise<Member> {
  const [url = ''] = location.endpoints;
  const { host: address } = new URL(url);
  const reading = await readSeveralTimes(location, `${prefix}config`);
  const version = await fetchVersion(location, url);
  const usesTls = location.tls !== undefined;
  return {
    facts: { address, usesTls, version: version?.version, reading },
    clock: version && { ...version.clock, source: `etcd ${address}` },
  };
}

async function readSeveralTimes(location: EtcdLocation, key: string): Promise<MemberReads> {
  const store = await openStore(location);
  try {
    await store.get(key); // connects and logs in, which is not measured
    const samplesMs: number[] = [];
    while (samplesMs.length < READS) {
      const startMs = performance.now();
      await store.get(key);
      samplesMs.push(performance.now() - startMs);
    }
    return { kind: 'read', samplesMs };
  } catch (error) {
    if (!(error instanceof StoreError)) throw error;
    return { kind: 'failed', message: error.message, isDenied: error.code === 'denied' };
  } finally {
    await store.close();
  }
}

interface VersionReply {
  readonly version: string | undefined;
  readonly clock: Omit<ClockFacts, 'source'>;
}

/** `/version` of the member's client port, with the time of the reply; undefined without a reply. */
function fetchVersion(location: EtcdLocation, url: string): Promise<VersionReply | undefined> {
  const sentMs = Date.now();
  return new Promise((resolve) => {
    const { tls } = etcdOptions(location);
    const options = { timeout: TIMEOUT_MS, agent: false as const, ...tls };
    const request = tls === undefined ? requestPlain : requestTls;
    const asking = request(`${url}/version`, options, (response) => {
      const receivedMs = Date.now();
      const theirsMs = Date.parse(response.headers.date ?? '');
      let text = '';
      response.setEncoding('utf8');
      response.on('error', () => resolve(undefined));
      response.on('data', (chunk: string) => {
        text = (text + chunk).slice(0, 1_000);
      });
      response.on('end', () => {
        const isDated = !Number.isNaN(theirsMs);
        const clock = { sentMs, theirsMs, receivedMs };
        resolve(isDated ? { version: versionIn(text), clock } : undefined);
      });
    });
    asking.on('timeout', () => asking.destroy(new Error('no answer')));
    asking.on('error', () => resolve(undefined));
    asking.end();
  });
}

function versionIn(text: string): string | undefined {
  return /"etcdserver":"([0-9]+\.[0-9]+[0-9A-Za-z.+-]*)"/.exec(text)?.[1];
}
