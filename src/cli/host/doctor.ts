/**
 * cli/host/: The commands that examine and set up this host, and register its containers.
 * Imports: app, app/answering, app/process, app/registrar, cli, config, config/options, dataplane/sockets, dns,
 *   forward, kernel, observability, registrar, registrar/describe, registrar/engine, registrar/links,
 *   registrar/reconcile, server/listening, service, sign, timing, tools/doctor, tools/integrate.
 * Used by: cli/commands.
 *
 * `soradns doctor`: finds out why names do not resolve on this host, and prints a command that fixes it. Changes
 * nothing.
 */
import { statSync } from 'node:fs';
import { Failure } from '../../app/process/failure.ts';
import { networkOf } from '../../app/process/network.ts';
import { type Command, OUTPUT_OPTIONS } from '../command.ts';
import { reportFindings } from '../findingsView.ts';
import { configOf, SERVER_OPTIONS, shownOnly } from '../serverConfig.ts';

export const doctorCommand: Command = {
  name: 'doctor',
  summary: 'Diagnose why names do not resolve, and suggest fixes',
  positionals: [],
  options: [
    ...shownOnly(['config', 'addr', 'domain', 'http', 'store'], SERVER_OPTIONS),
    {
      name: 'root',
      form: 'text',
      placeholder: 'DIR',
      describe: "read the host's files below DIR, where a container has them mounted",
      defaultText: '/',
    },
    ...OUTPUT_OPTIONS,
  ],
  examples: [
    ['soradns doctor', 'check the server on port 53 of this host'],
    [
      'soradns doctor --addr 172.17.0.1:53 --store etcd://10.0.0.1:2379',
      'check a server with these options',
    ],
    ['soradns doctor -q', 'print only warnings and problems'],
    ['soradns doctor --json', 'for scripts'],
  ],
  note: `It takes all options, variables and the config file of serve, to find the server; without --addr it
looks on port 53. Exit code 0: no problem, though perhaps warnings; 1: at least one problem.`,
  async run({ flags }, io) {
    const { config } = configOf(flags, io);
    const root = typeof flags.root === 'string' ? flags.root : '/';
    if (!isFolder(root)) throw new Failure('usage', `--root: ${root} is not a folder`);
    // Loading etcd's client is slow, so other commands do not load it.
    const { examine } = await import('../../tools/doctor/examine.ts');
    const { hostAt } = await import('../../tools/doctor/host.ts');
    const found = await examine(config, hostAt(root, networkOf(config, io)));
    return reportFindings(found, flags, io.stdout);
  },
};

function isFolder(path: string): boolean {
  return statSync(path, { throwIfNoEntry: false })?.isDirectory() === true;
}
