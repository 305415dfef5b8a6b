/** The etcd versions that tests run on: Debian's, and the releases that this machine has built. */
import { BUILT_ETCDS, builtEtcd } from './etcdBuilds.mjs';

/** What a suite of tests needs to run on one version of etcd. */
export interface EtcdVersion {
  readonly title: string;
  /** Of the suite. A version that this machine does not have is skipped. */
  readonly options: { readonly concurrency: false; readonly skip: string | false };
  /** Starts the server. */
  readonly command: string;
}

/** A run of what depends on Node has no need of more than one. */
const BUILT = process.env.SORADNS_TEST_ONLY_RUNTIME ? [] : BUILT_ETCDS;

export const ETCD_VERSIONS: readonly EtcdVersion[] = [
  { title: "on Debian's etcd", options: { concurrency: false, skip: false }, command: 'etcd' },
  ...BUILT.map(built),
];

function built(version: string): EtcdVersion {
  const command = builtEtcd(version);
  const skip =
    command === undefined && 'optional: not built here; npm test does it where Go is installed';
  return {
    title: `on etcd ${version}`,
    options: { concurrency: false, skip },
    command: command ?? `etcd-${version}`,
  };
}
