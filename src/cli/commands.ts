import { checkCommand } from './check.ts';
import type { Command } from './command.ts';
import { completionCommand } from './completion.ts';
import { dockerProxyCommand } from './dockerProxyCommand.ts';
import { doctorCommand } from './doctor.ts';
import { getCommand } from './get.ts';
import { integrateCommand } from './integrate.ts';
import { lsCommand } from './ls.ts';
import { queryCommand } from './query.ts';
import { registerCommand } from './registerCommand.ts';
import { registrarCommand } from './registrarCommand.ts';
import { rmCommand } from './rm.ts';
import { serveCommand } from './serveCommand.ts';
import { setCommand } from './set.ts';
import { upCommand } from './upCommand.ts';
import { versionCommand } from './version.ts';
import { watchCommand } from './watch.ts';

export const COMMANDS: readonly Command[] = [
  serveCommand,
  upCommand,
  registerCommand,
  registrarCommand,
  dockerProxyCommand,
  setCommand,
  getCommand,
  rmCommand,
  lsCommand,
  watchCommand,
  queryCommand,
  doctorCommand,
  checkCommand,
  integrateCommand,
  completionCommand(() => COMMANDS),
  versionCommand,
];
