/** `soradns get`: prints the value of a name. */
import { Failure } from '../../app/process/failure.ts';
import type { Io } from '../../app/process/process.ts';
import type { Arguments } from '../../config/settings.ts';
import { printable } from '../../observability/printable.ts';
import type { Entry } from '../../service/change.ts';
import type { Command } from '../command.ts';
import { viewEntry } from '../entryView.ts';
import { jsonLine } from '../output.ts';
import { CLIENT_OPTIONS, keyOfArgument, type StoreAccess, withStore } from '../storeAccess.ts';

export const getCommand: Command = {
  name: 'get',
  summary: 'Print the value of a name',
  positionals: [
    { name: 'name', describe: 'domain name, or a key if it begins with /', required: true },
  ],
  options: CLIENT_OPTIONS,
  examples: [
    ['soradns get 1.rails.skydns.local', 'print the stored JSON'],
    ['soradns get 1.rails.skydns.local --json', 'with revisions and the time until it expires'],
  ],
  run: (args, io) =>
    withStore(args, io, async (access) => {
      const key = keyOfArgument(args.words[0] ?? '', access.prefix);
      const { entry } = await access.store.get(key);
      if (entry === undefined) throw await absence(key, access);
      const invalid = printEntry(entry, args, io, access.prefix);
      if (invalid !== undefined) {
        throw new Failure('bad_data', `${key}: the value is invalid and not answered: ${invalid}`);
      }
      return 0;
    }),
};

/** Prints the entry. Returns why it is invalid, if it is. */
function printEntry(entry: Entry, { flags }: Arguments, { stdout }: Io, prefix: string) {
  const view = viewEntry(entry, prefix, performance.now());
  const value = Buffer.from(entry.value).toString('utf8');
  stdout.write(
    flags.json
      ? `${jsonLine({ ...(view ?? { key: entry.key }), value })}\n`
      : `${printable(value)}\n`,
  );
  return view?.invalid;
}

/** The failure for a key without a value. */
export async function absence(key: string, { store }: StoreAccess): Promise<Failure> {
  for await (const page of store.snapshot(`${key}/`)) {
    if (page.entries.length > 0) {
      return new Failure(
        'not_found',
        `${key}: has no value of its own`,
        'list the names below it: soradns ls',
      );
    }
  }
  return new Failure('not_found', `${key}: does not exist`);
}
