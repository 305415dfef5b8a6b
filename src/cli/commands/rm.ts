/** `soradns rm`: deletes a name, or with -r all names below it too. */
import { Failure } from '../../app/process/failure.ts';
import { printable } from '../../observability/printable.ts';
import type { Command } from '../command.ts';
import { jsonLine } from '../output.ts';
import { CLIENT_OPTIONS, keyOfArgument, type StoreAccess, withStore } from '../storeAccess.ts';
import { absence } from './get.ts';

export const rmCommand: Command = {
  name: 'rm',
  summary: 'Delete a name',
  positionals: [
    { name: 'name', describe: 'domain name, or a key if it begins with /', required: true },
  ],
  options: [
    {
      name: 'recursive',
      short: 'r',
      form: 'switch',
      describe: 'also delete all names below it',
    },
    ...CLIENT_OPTIONS,
  ],
  examples: [
    ['soradns rm 1.rails.skydns.local', 'delete one instance'],
    ['soradns rm -r rails.skydns.local', 'delete all instances'],
  ],
  run: (args, io) =>
    withStore(args, io, async (access) => {
      const key = keyOfArgument(args.words[0] ?? '', access.prefix);
      const deleted = args.flags.recursive
        ? await deleteTree(key, access)
        : await deleteOne(key, access);
      if (args.flags.json) io.stdout.write(`${jsonLine({ key, deleted })}\n`);
      else if (!args.flags.quiet) io.stdout.write(`deleted ${deleted}: ${printable(key)}\n`);
      return 0;
    }),
};

async function deleteOne(key: string, access: StoreAccess): Promise<number> {
  const result = await access.store.delete(key);
  if (result.done) return 1;
  const failure = await absence(key, access);
  if (failure.hint === undefined) throw failure;
  throw new Failure('conflict', failure.message, 'rm -r deletes the names below it');
}

async function deleteTree(key: string, { store }: StoreAccess): Promise<number> {
  const own = await store.delete(key);
  const below = await store.deleteTree(`${key}/`);
  const deleted = below.deleted + (own.done ? 1 : 0);
  if (deleted === 0) throw new Failure('not_found', `${key}: does not exist`);
  return deleted;
}
