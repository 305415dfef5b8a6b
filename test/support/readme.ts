/**
 * The README's examples. A block fenced as `console` is a session: a line that begins with `$ ` is a command (a `\` at
 * its end continues it), the lines below it are what it must print. In them a line `...` stands for any lines, and
 * `...` inside a line for any text. A command that ends in `# exits N` must exit with that code, any other with 0.
 */

export interface Example {
  /** As in the README, continued lines joined. */
  readonly command: string;
  readonly expected: readonly string[];
  readonly exitCode: number;
  /** Line of the command in the README, from 1. */
  readonly line: number;
}

/** The examples of all `console` blocks, in order. */
export function examplesOf(markdown: string): Example[] {
  const examples: { command: string; expected: string[]; exitCode: number; line: number }[] = [];
  let inside = false;
  let continues = false;
  for (const [index, text] of markdown.split('\n').entries()) {
    const last = examples.at(-1);
    if (text.startsWith('```')) inside = text.trim() === '```console';
    else if (!inside) continue;
    else if (text.startsWith('$ ')) {
      examples.push({ command: text.slice(2), expected: [], exitCode: 0, line: index + 1 });
    } else if (continues && last !== undefined) last.command += `\n${text}`;
    else last?.expected.push(text);
    continues = inside && (text.startsWith('$ ') || continues) && text.endsWith('\\');
  }
  return examples.map((example) => ({
    ...example,
    exitCode: Number(/# exits (\d+)$/.exec(example.command)?.[1] ?? 0),
  }));
}

/** Whether a command printed what its example says. */
export function matches(expected: readonly string[], printed: string): boolean {
  const parts = expected.map((line) => {
    if (line.trim() === '...') return '(?:.*\\n)*?';
    const pieces = line
      .trimEnd()
      .split('...')
      .map((text) => text.replace(/[\\^$.*+?()[\]{}|]/g, '\\$&'));
    return `${pieces.join('.*')}[ \\t]*\\n`;
  });
  const lines = printed.endsWith('\n') || printed === '' ? printed : `${printed}\n`;
  return new RegExp(`^${parts.join('')}$`).test(lines);
}

/** Every `soradns COMMAND --option` in the README, as command -> options; it may be run in a container called so. */
export function optionsOf(markdown: string): Map<string, Set<string>> {
  const uses = new Map<string, Set<string>>();
  for (const [, command = '', rest = ''] of markdown.matchAll(
    /\bsoradns (?!soradns )([a-z]+)((?:\\\n|[^\n`|#])*)/g,
  )) {
    const options = uses.get(command) ?? new Set<string>();
    for (const [option] of rest.matchAll(/(?<=\s)--[a-z][a-z-]*/g)) options.add(option);
    uses.set(command, options);
  }
  return uses;
}
