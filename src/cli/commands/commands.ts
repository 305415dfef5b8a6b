/**
 * cli/commands/: The commands, one per file: from options to a call, from its result to output.
 * Imports: every folder.
 * Used by: main.
 */
import type { Command } from '../command.ts';
import { completionCommand } from '../completion.ts';
import { ambassadorCommand } from '../linking/ambassador.ts';
import { leaderCommand } from '../linking/leader.ts';
import { linksCommand } from '../linking/links.ts';
import { queryAliasCommand } from '../linking/queryAlias.ts';
import { vipCommand } from '../linking/vip.ts';
import { checkCommand } from './check.ts';
import { dockerProxyCommand } from './dockerproxy.ts';
import { doctorCommand } from './doctor.ts';
import { getCommand } from './get.ts';
import { integrateCommand } from './integrate.ts';
import { lsCommand } from './ls.ts';
import { queryCommand } from './query.ts';
import { registerCommand } from './register.ts';
import { registrarCommand } from './registrar.ts';
import { rmCommand } from './rm.ts';
import { serveCommand, upCommand } from './serve.ts';
import { setCommand } from './set.ts';
import { versionCommand } from './version.ts';
import { watchCommand } from './watch.ts';

export const COMMANDS: readonly Command[] = [
  serveCommand,
  upCommand,
  registerCommand,
  registrarCommand,
  ambassadorCommand,
  dockerProxyCommand,
  setCommand,
  getCommand,
  rmCommand,
  lsCommand,
  watchCommand,
  queryCommand,
  queryAliasCommand,
  linksCommand,
  leaderCommand,
  vipCommand,
  doctorCommand,
  checkCommand,
  integrateCommand,
  completionCommand(() => COMMANDS),
  versionCommand,
];
