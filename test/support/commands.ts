/** Every command, with its file loaded. */
import { type Command, loadCommands } from '../../src/cli/command.ts';
import { COMMAND_TABLE } from '../../src/cli/commands/commands.ts';

export const COMMANDS: readonly Command[] = await loadCommands(COMMAND_TABLE);
