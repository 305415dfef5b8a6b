/**
 * Completion scripts for bash, zsh and fish, made from the same words as help. They are self-contained: yargs's scripts
 * would start this program at every press of TAB.
 */
import type { OptionWords } from '../config/options/option.ts';
import type { Command } from './command.ts';

type Shell = 'bash' | 'zsh' | 'fish';

/** The command that prints a shell's script; `commands` is called when it runs. */
export function completionCommand(commands: () => Promise<readonly Command[]>): Command {
  return {
    name: 'completion',
    summary: 'Print a completion script for a shell',
    positionals: [
      {
        name: 'shell',
        describe: 'shell to print the script for',
        required: true,
        choices: Object.keys(SCRIPTS),
      },
    ],
    options: [],
    examples: [
      [
        'source <(soradns completion bash)',
        'bash: this session; add the line to ~/.bashrc to keep it',
      ],
      ['source <(soradns completion zsh)', 'zsh: after compinit'],
      ['soradns completion fish | source', 'fish: this session'],
    ],
    async run({ words }, { stdout }) {
      stdout.write(SCRIPTS[words[0] as Shell](await commands()));
      return 0;
    },
  };
}

const SCRIPTS: Record<Shell, (commands: readonly Command[]) => string> = {
  bash: bashScript,
  zsh: zshScript,
  fish: fishScript,
};

function shownOptions(command: Command): readonly OptionWords[] {
  const help: OptionWords = { name: 'help', form: 'switch', describe: 'show help' };
  return [...command.options.filter(({ hidden }) => !hidden), help];
}

/** The options with choices. */
function optionChoices(command: Command): readonly OptionWords[] {
  return command.options.filter(({ choices, hidden }) => choices !== undefined && !hidden);
}

function wordChoices(command: Command): readonly string[] {
  return command.positionals.flatMap(({ choices }) => choices ?? []);
}

function bashScript(commands: readonly Command[]): string {
  const cases = commands.map((command) => {
    const options = shownOptions(command).map(({ name }) => `--${name}`);
    const words = [...options, ...wordChoices(command)].join(' ');
    return `    ${command.name}) words='${words}' ;;`;
  });
  const choices = commands
    .flatMap((command) => optionChoices(command).map((option) => ({ command, option })))
    .map(({ command, option }) => {
      const pattern = `${command.name}:--${option.name}`;
      return `    ${pattern}) words='${(option.choices ?? []).join(' ')}' ;;`;
    });
  return `# soradns completion for bash: source <(soradns completion bash)
_soradns() {
  local current="\${COMP_WORDS[COMP_CWORD]}" command="\${COMP_WORDS[1]}" words=''
  if [ "$COMP_CWORD" -eq 1 ]; then
    words='${commands.map(({ name }) => name).join(' ')}'
  else
    case "$command" in
${cases.join('\n')}
    esac
    case "$command:\${COMP_WORDS[COMP_CWORD-1]}" in
${choices.join('\n')}
    esac
  fi
  COMPREPLY=($(compgen -W "$words" -- "$current"))
}
complete -o default -F _soradns soradns
`;
}

function zshScript(commands: readonly Command[]): string {
  const list = commands.map(({ name, summary }) => `    ${zshQuote(`${name}:${summary}`)}`);
  const cases = commands.map((command) => {
    const specs = shownOptions(command).map((option) => `        ${zshQuote(zshSpec(option))}`);
    const words = wordChoices(command);
    const rest = words.length > 0 ? `'*:word:(${words.join(' ')})'` : "'*:word: '";
    return `      ${command.name})\n        _arguments \\\n${[...specs, `        ${rest}`].join(' \\\n')} ;;`;
  });
  return `#compdef soradns
# soradns completion for zsh: source <(soradns completion zsh)
_soradns() {
  local -a commands=(
${list.join('\n')}
  )
  if (( CURRENT == 2 )); then
    _describe 'command' commands
  else
    local command=$words[2]
    shift words
    (( CURRENT-- ))
    case $command in
${cases.join('\n')}
    esac
  fi
}
compdef _soradns soradns
`;
}

function zshSpec({ name, form, describe, placeholder = 'value', choices }: OptionWords): string {
  const words = describe.replace(/[[\]:]/g, (char) => `\\${char}`);
  const action = choices === undefined ? ' ' : `(${choices.join(' ')})`;
  if (form === 'switch') return `--${name}[${words}]`;
  return `--${name}=[${words}]:${placeholder.replace(/[[\]:]/g, ' ')}:${action}`;
}

function zshQuote(text: string): string {
  return `'${text.replaceAll("'", `'\\''`)}'`;
}

function fishScript(commands: readonly Command[]): string {
  const names = commands.map(({ name }) => name).join(' ');
  const lines = commands.flatMap((command) => {
    const before = `complete -c soradns -n '__fish_seen_subcommand_from ${command.name}'`;
    const words = wordChoices(command).join(' ');
    return [
      `complete -c soradns -f -n 'not __fish_seen_subcommand_from ${names}' -a ${command.name} -d ${fishQuote(command.summary)}`,
      ...shownOptions(command).map((option) => `${before} ${fishOption(option)}`),
      ...(words === '' ? [] : [`${before} -f -a '${words}'`]),
    ];
  });
  const head = '# soradns completion for fish: soradns completion fish | source';
  return `${[head, 'complete -c soradns -f', ...lines].join('\n')}\n`;
}

function fishOption(option: OptionWords): string {
  const letter = option.short === undefined ? '' : ` -s ${option.short}`;
  return `-l ${option.name}${letter}${fishValue(option)} -d ${fishQuote(option.describe)}`;
}

/** Whether a value follows, and what to offer: files only for a FILE. */
function fishValue({ form, choices, placeholder }: OptionWords): string {
  if (form === 'switch') return '';
  if (choices !== undefined) return ` -x -a '${choices.join(' ')}'`;
  return placeholder === 'FILE' ? ' -r -F' : ' -x';
}

function fishQuote(text: string): string {
  return `'${text.replace(/['\\]/g, '\\$&')}'`;
}
