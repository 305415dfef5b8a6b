/** `soradns ambassador clear`: removes what a server with `--ambassador` left in the kernel of this host. */
import { clearHost, findKeeper } from '../../app/ambassador/clearHost.ts';
import { Failure } from '../../app/process/failure.ts';
import type { Io } from '../../app/process/process.ts';
import type { Arguments } from '../../config/settings.ts';
import { printProcess } from '../../server/listening/portHolder.ts';
import { jsonLine } from '../output.ts';

const RIGHTS =
  'use sudo, or docker run --rm --network host --cap-add NET_ADMIN --user 0:65532 soradns ambassador clear';

/** Exits with 5 and removes nothing if a running server would write it again. */
export async function clearAmbassador({ flags }: Arguments, { stdout }: Io): Promise<number> {
  const keeper = await findKeeper();
  if (keeper !== undefined) {
    const problem = `${printProcess(keeper)} keeps the routes of this host and would write them again`;
    throw new Failure('conflict', problem, 'stop that soradns first; nothing was removed');
  }
  const outcome = await clearHost();
  switch (outcome.kind) {
    case 'forbidden':
      throw new Failure('not_permitted', 'clear: needs the capability NET_ADMIN', RIGHTS);
    case 'failed':
      throw new Failure('failure', `clear: ${outcome.reason}`);
    case 'kept': {
      const problem = 'another process has written the routes of this host again';
      throw new Failure('conflict', problem, 'stop every soradns of this host, also in containers');
    }
    case 'cleared': {
      const { tables, rules } = outcome;
      if (flags.json) stdout.write(`${jsonLine({ tables, rules })}\n`);
      else if (!flags.quiet) stdout.write(`${printCleared(tables, rules)}\n`);
      return 0;
    }
  }
}

function printCleared(tables: readonly string[], rules: number): string {
  const removed = [
    ...tables.map((table) => `the table ${table}`),
    ...(rules === 0 ? [] : [`${rules} rule${rules === 1 ? '' : 's'} in DOCKER-USER`]),
  ];
  return removed.length === 0 ? 'nothing to remove' : `removed ${removed.join(', ')}`;
}
