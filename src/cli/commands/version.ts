/** `soradns version`. */
import { version } from '../../app/process/process.ts';
import { type Command, OUTPUT_OPTIONS } from '../command.ts';
import { jsonLine } from '../output.ts';

export const versionCommand: Command = {
  name: 'version',
  summary: 'Print the version',
  positionals: [],
  options: OUTPUT_OPTIONS,
  examples: [['soradns version', 'for a bug report']],
  async run({ flags }, { stdout }) {
    const node = process.versions.node;
    if (flags.json) stdout.write(`${jsonLine({ version: version(), node })}\n`);
    else stdout.write(flags.quiet ? `${version()}\n` : `soradns ${version()} (Node ${node})\n`);
    return 0;
  },
};
