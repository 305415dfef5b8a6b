/** How dockerd is set up: its command line, where /proc shows it, and its configuration file. */
import { readJsonObject } from '../../../config/config.ts';

export interface DockerdSettings {
  /** dockerd carries connections to published ports itself where its rules do not. */
  readonly userlandProxy: DockerdSwitch;
  /** dockerd writes rules of the firewall, also those that isolate its bridges. */
  readonly writesRules: boolean;
  /** `iptables` or `nftables`; undefined: the default of its version. */
  readonly firewall: string | undefined;
}

export interface DockerdSwitch {
  readonly isOn: boolean;
  /** The configuration file that sets it, or the option; undefined: it has its default. */
  readonly setBy: { readonly file: string } | { readonly option: string } | undefined;
}

/** Reads the host's files. */
export interface DockerdFiles {
  read(path: string): Promise<string | undefined>;
  list(path: string): Promise<readonly string[]>;
}

const DEFAULT_FILE = '/etc/docker/daemon.json';

/**
 * The settings of the dockerd that listens at the socket, or of the only one; undefined if neither its command line nor
 * its file can be found.
 */
export async function readDockerdSettings(
  files: DockerdFiles,
  socket: string | undefined,
): Promise<DockerdSettings | undefined> {
  const lines = await commandLines(files);
  const args = lines.length > 1 ? lines.find((line) => listensAt(line, socket)) : lines[0];
  if (args === undefined && lines.length > 1) return undefined;
  const file = optionIn(args ?? [], 'config-file') ?? DEFAULT_FILE;
  const text = await files.read(file);
  if (args === undefined && text === undefined) return undefined;
  return dockerdSettings(args ?? [], { file, text });
}

/** The arguments of each dockerd that /proc shows. */
async function commandLines({ list, read }: DockerdFiles): Promise<readonly string[][]> {
  const pids = (await list('/proc')).filter((name) => /^[0-9]+$/.test(name));
  const found = await Promise.all(
    pids.map(async (pid) => {
      if ((await read(`/proc/${pid}/comm`))?.trim() !== 'dockerd') return [];
      const line = await read(`/proc/${pid}/cmdline`);
      return line ? [line.split('\0').slice(1)] : [];
    }),
  );
  return found.flat();
}

function listensAt(args: readonly string[], socket: string | undefined): boolean {
  return socket !== undefined && args.some((arg) => arg.endsWith(`unix://${socket}`));
}

/** `text`: of the configuration file; undefined without one. dockerd refuses to start if both set one thing. */
export function dockerdSettings(
  args: readonly string[],
  { file, text }: { readonly file: string; readonly text: string | undefined },
): DockerdSettings {
  const json = readJsonObject(text ?? '') ?? {};
  const backend = optionIn(args, 'firewall-backend') ?? json['firewall-backend'];
  return {
    userlandProxy: switchOf(args, json, 'userland-proxy', file),
    writesRules: switchOf(args, json, 'iptables', file).isOn,
    firewall: typeof backend === 'string' && backend !== '' ? backend : undefined,
  };
}

function switchOf(
  args: readonly string[],
  json: Readonly<Record<string, unknown>>,
  name: string,
  file: string,
): DockerdSwitch {
  const option = args.findLast((arg) => arg === `--${name}` || arg.startsWith(`--${name}=`));
  if (option !== undefined) {
    // The false values of Go's strconv.ParseBool.
    const isOn = !/=(?:0|f|F|false|False|FALSE)$/.test(option);
    return { isOn, setBy: { option } };
  }
  const value = json[name];
  if (typeof value === 'boolean') return { isOn: value, setBy: { file } };
  return { isOn: true, setBy: undefined };
}

/** The text in `--name=text` or `--name text`. */
function optionIn(args: readonly string[], name: string): string | undefined {
  const at = args.findIndex((arg) => arg === `--${name}` || arg.startsWith(`--${name}=`));
  const arg = args[at];
  return arg === `--${name}` ? args[at + 1] : arg?.slice(`--${name}=`.length);
}
