/** The etcd versions that tests run on: Debian's, and the releases that this machine has built. */
import { BUILT_ETCDS, builtEtcd } from './etcdBuilds.mjs';

/** The data with which a suite of tests runs on one version of etcd. */
export interface EtcdVersion {
  readonly title: string;
  /** The suite's options, with a skip for a version that this machine does not have. */
  readonly options: { readonly concurrency: false; readonly skip: string | false };
  /** The command that starts the server. */
  readonly command: string;
}

/** A run of only the tests that depend on Node needs no more than one version. */
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
