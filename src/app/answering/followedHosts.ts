/** The hosts files of a running server: the table of the files that the configuration names, as they are now. */
import { isSameValue } from '../../config/options/valueForms.ts';
import type { Name } from '../../dns/name.ts';
import { HostsFiles } from '../../forward/domains/hostsFiles.ts';
import { HostsTable } from '../../forward/domains/hostsTable.ts';
import type { Log } from '../../observability/log.ts';
import { systemClock } from '../../timing/clock.ts';

const NO_HOSTS = new HostsTable();

interface TableBasis {
  readonly texts: readonly string[];
  readonly domains: readonly Name[];
}

export class FollowedHosts {
  readonly #log: Log;
  readonly #onChange: () => void;
  #paths: readonly string[] = [];
  #files: HostsFiles | undefined;
  #basis: TableBasis | undefined;
  #table = NO_HOSTS;

  /** Calls `onChange` after a file has changed. It must not throw. */
  constructor(log: Log, onChange: () => void) {
    this.#log = log;
    this.#onChange = onChange;
  }

  /** The table of these files, without names in `domains`. It is the same object as before if nothing has changed. */
  table(paths: readonly string[], domains: readonly Name[]): HostsTable {
    if (!isSameValue(paths, this.#paths)) this.#follow(paths);
    const basis = { texts: this.#files?.texts ?? [], domains };
    if (this.#basis !== undefined && isSameValue(basis, this.#basis)) return this.#table;
    this.#basis = basis;
    this.#table = new HostsTable(basis.texts, domains);
    return this.#table;
  }

  close(): void {
    this.#files?.close();
  }

  #follow(paths: readonly string[]): void {
    this.#files?.close();
    this.#paths = paths;
    this.#files = new HostsFiles({
      paths,
      clock: systemClock,
      onChange: () => {
        this.#log.info({ paths }, 'read the hosts files again');
        this.#onChange();
      },
      onUnreadable: (path, reason) =>
        this.#log.warn({ path, reason }, 'a hosts file cannot be read'),
    });
  }
}
