/**
 * Separates registrator's flags and URI from soradns's options in `soradns register --compat=registrator ...`. Some
 * flags have the name of an option (`-ip`, `-ttl`) but Go's syntax, so this happens before any other parser reads the
 * line. registrator's part then follows `--`. Pure.
 */
import { wordsOf } from '../../config/options/option.ts';
import { REGISTER_COMMAND_OPTIONS } from '../../config/options/registrarOptions.ts';
import { STORE_OPTIONS } from '../../config/options/storeOptions.ts';
import { REGISTRATOR_FLAGS } from './flags.ts';

type RegistratorEnv = Readonly<Record<string, string | undefined>>;

const SORADNS_OPTIONS: ReadonlyMap<string, string> = new Map(
  wordsOf({ ...REGISTER_COMMAND_OPTIONS, ...STORE_OPTIONS }).map(({ name, form }) => [name, form]),
);

/** Moves registrator's flags and URI after `--` in their order. Returns the line of any other command unchanged. */
export function splitRegistratorLine(
  argv: readonly string[],
  env: RegistratorEnv,
): readonly string[] {
  const [command, ...rest] = argv;
  if (command !== 'register' || !wantsRegistrator(rest, env)) return argv;
  const own: string[] = [];
  const words: string[] = [];
  for (let i = 0; i < rest.length; i++) {
    const token = rest[i] as string;
    if (token === '--') {
      words.push(...rest.slice(i + 1));
      break;
    }
    const [, name, value] = /^--?([^=]+)(=.*)?$/s.exec(token) ?? [];
    const flag = name === undefined ? undefined : REGISTRATOR_FLAGS.get(name);
    const form = flag ?? SORADNS_OPTIONS.get(name ?? '') ?? 'switch';
    const taken = value === undefined && form !== 'switch' ? rest.slice(i, i + 2) : [token];
    const isWord = name === undefined || flag !== undefined || name === 'version';
    (isWord ? words : own).push(...taken);
    i += taken.length - 1;
  }
  return [command, ...own, ...(words.length === 0 ? [] : ['--', ...words])];
}

function wantsRegistrator(args: readonly string[], env: RegistratorEnv): boolean {
  const line = args.join('\n');
  const given = [...line.matchAll(/(?:^|\n)--?compat(?:=|\n)([^\n]*)/g)].map(
    ([, list = '']) => list,
  );
  const lists = given.length > 0 ? given : [env.SORADNS_COMPAT ?? ''];
  return lists.some((list) => list.split(',').some((word) => word.trim() === 'registrator'));
}
