/**
 * cli/commands/: The commands, one per file: from options to a call, from its result to output.
 * Imports: every folder.
 * Used by: main.
 *
 * A command's file is loaded when the command runs, because a start costs as much as the files that it loads.
 */
import { type Command, type CommandEntry, loadCommands } from '../command.ts';

/** In the order of help. */
export const COMMAND_TABLE: readonly CommandEntry[] = [
  {
    name: 'serve',
    load: async () => (await import('./serve.ts')).serveCommand,
  },
  {
    name: 'up',
    load: async () => (await import('./serve.ts')).upCommand,
  },
  {
    name: 'register',
    load: async () => (await import('../host/register.ts')).registerCommand,
  },
  {
    name: 'registrar',
    load: async () => (await import('../host/registrar.ts')).registrarCommand,
  },
  {
    name: 'ambassador',
    load: async () => (await import('../linking/ambassador.ts')).ambassadorCommand,
  },
  {
    name: 'dockerproxy',
    load: async () => (await import('../host/dockerproxy.ts')).dockerProxyCommand,
  },
  {
    name: 'set',
    load: async () => (await import('./set.ts')).setCommand,
  },
  {
    name: 'get',
    load: async () => (await import('./get.ts')).getCommand,
  },
  {
    name: 'rm',
    load: async () => (await import('./rm.ts')).rmCommand,
  },
  {
    name: 'ls',
    load: async () => (await import('./ls.ts')).lsCommand,
  },
  {
    name: 'watch',
    load: async () => (await import('./watch.ts')).watchCommand,
  },
  {
    name: 'query',
    load: async () => (await import('./query.ts')).queryCommand,
  },
  {
    name: 'transfer',
    load: async () => (await import('./transfer.ts')).transferCommand,
  },
  {
    name: 'cache',
    load: async () => (await import('./cache.ts')).cacheCommand,
  },
  {
    name: 'dnssec',
    load: async () => (await import('../signing/dnssec.ts')).dnssecCommand,
  },
  {
    name: 'query-alias',
    load: async () => (await import('../linking/queryAlias.ts')).queryAliasCommand,
  },
  {
    name: 'links',
    load: async () => (await import('../linking/links.ts')).linksCommand,
  },
  {
    name: 'leader',
    load: async () => (await import('../linking/leader.ts')).leaderCommand,
  },
  {
    name: 'vip',
    load: async () => (await import('../linking/vip.ts')).vipCommand,
  },
  {
    name: 'doctor',
    load: async () => (await import('../host/doctor.ts')).doctorCommand,
  },
  {
    name: 'check',
    load: async () => (await import('../host/check.ts')).checkCommand,
  },
  {
    name: 'integrate',
    load: async () => (await import('../host/integrate.ts')).integrateCommand,
  },
  { name: 'completion', load: loadCompletion },
  {
    name: 'version',
    load: async () => (await import('./version.ts')).versionCommand,
  },
];

async function loadCompletion(): Promise<Command> {
  const { completionCommand } = await import('../completion.ts');
  return completionCommand(() => loadCommands(COMMAND_TABLE));
}
