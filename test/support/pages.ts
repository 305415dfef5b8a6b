/**
 * The pages of documentation and their examples. A fenced block says behind its language how it is tested:
 *
 *     ```console            a session, run against a server that was started as `npm start` does
 *     ```console on=docker  a session, run on a Docker host of its own (test/e2e/docs.test.ts)
 *     ```console on=first   a session, run on the first of two Docker hosts, or on the `second`
 *                           (test/e2e/docsTwoHosts.test.ts)
 *     ```sh background      started before the next block beside that server, ended after the page
 *     ```sh on=docker background     started on that Docker host before the next block, ended after the page
 *     ```yaml file=NAME     written to the folder in which the blocks below it run
 *     ```sh test=PATH       run by that test
 *     ```sh unrun="why"     not run, for the given reason
 *     ```text               a picture or the output of a program, nothing to run
 *
 * In a session a line that begins with `$ ` is a command (a `\` at its end continues it), and the lines below it are
 * what the command must print. A line `...` stands for any lines, and `...` inside a line for any text. A command that
 * ends in `# exits N` must exit with that code, any other with 0.
 */
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const PROJECT = fileURLToPath(new URL('../..', import.meta.url));

export interface Page {
  /** From the project's root: `README.md`, `docs/names.md`. */
  readonly path: string;
  readonly text: string;
}

export interface Block {
  readonly language: string;
  /** Words behind the language: `on=docker` is `on` -> `docker`, `background` is `background` -> ``. */
  readonly attributes: ReadonlyMap<string, string>;
  readonly text: string;
  /** Number of the first line of its text in the page, from 1. */
  readonly line: number;
  /** The second-level heading above it; empty if there is none. */
  readonly heading: string;
}

/** The Docker hosts on which blocks may run: one alone, or two of a network. */
export const HOSTS: readonly string[] = ['docker', 'first', 'second'];

export interface Example {
  /** As in the page, with its continued lines. */
  readonly command: string;
  readonly expected: readonly string[];
  readonly exitCode: number;
  /** Number of the line of the command in the page, from 1. */
  readonly line: number;
}

/** README.md and the other pages of the root, then docs/. */
export function allPages(): readonly Page[] {
  const below = (folder: string): string[] =>
    readdirSync(join(PROJECT, folder))
      .filter((name) => name.endsWith('.md') && name !== 'CHANGELOG.md')
      .sort()
      .map((name) => (folder === '' ? name : `${folder}/${name}`));
  return [...below(''), ...below('docs')].map(pageAt);
}

export function pageAt(path: string): Page {
  return { path, text: readFileSync(join(PROJECT, path), 'utf8') };
}

/** The fenced blocks of a page, in order. */
export function blocksOf(markdown: string): Block[] {
  const blocks: Block[] = [];
  let heading = '';
  let open: { info: string; indent: number; line: number; lines: string[] } | undefined;
  for (const [index, line] of markdown.split('\n').entries()) {
    const fence = /^( *)```(.*)$/.exec(line);
    if (open === undefined) {
      if (fence !== null) {
        open = { info: fence[2] ?? '', indent: fence[1]?.length ?? 0, line: index + 2, lines: [] };
      } else heading = /^## (.+)$/.exec(line)?.[1] ?? heading;
    } else if (fence === null) open.lines.push(line.slice(open.indent));
    else {
      const text = open.lines.map((each) => `${each}\n`).join('');
      blocks.push({ ...readInfo(open.info), text, line: open.line, heading });
      open = undefined;
    }
  }
  return blocks;
}

function readInfo(info: string): Pick<Block, 'language' | 'attributes'> {
  const [, language = '', rest = ''] = /^(\S*)(.*)$/.exec(info) ?? [];
  const words = [...rest.matchAll(/([a-z]+)(?:=(?:"([^"]*)"|(\S+)))?/g)];
  return {
    language,
    attributes: new Map(words.map(([, name = '', quoted, plain]) => [name, quoted ?? plain ?? ''])),
  };
}

/** The texts of the `sh` blocks, or those of another language, below this heading of a page, in order. */
export function shellBlocks(path: string, heading: string, language = 'sh'): readonly string[] {
  return blocksOf(pageAt(path).text)
    .filter((block) => block.language === language && block.heading === heading)
    .map(({ text }) => text);
}

/** The examples of a `console` block, in order. */
export function examplesOf({ text, line }: Pick<Block, 'text' | 'line'>): Example[] {
  const examples: { command: string; expected: string[]; exitCode: number; line: number }[] = [];
  let continues = false;
  for (const [index, each] of text.split('\n').slice(0, -1).entries()) {
    const last = examples.at(-1);
    if (each.startsWith('$ ')) {
      examples.push({ command: each.slice(2), expected: [], exitCode: 0, line: line + index });
    } else if (continues && last !== undefined) last.command += `\n${each}`;
    else last?.expected.push(each);
    continues = (each.startsWith('$ ') || continues) && each.endsWith('\\');
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

/**
 * Every `soradns COMMAND --option` of a page, as command -> options. The command may run in a container named soradns.
 */
export function optionsOf(markdown: string): Map<string, Set<string>> {
  const uses = new Map<string, Set<string>>();
  for (const [, command = '', rest = ''] of markdown.matchAll(
    /\bsoradns (?!soradns )([a-z]+(?:-[a-z]+)*)((?:\\\n|[^\n`|#])*)/g,
  )) {
    const options = uses.get(command) ?? new Set<string>();
    for (const [option] of rest.matchAll(/(?<=\s)--[a-z][a-z-]*/g)) options.add(option);
    uses.set(command, options);
  }
  return uses;
}

/** The anchors of a page's headings, as GitHub makes them. */
export function anchorsOf(markdown: string): ReadonlySet<string> {
  const prose = markdown.replaceAll(/^```[\s\S]*?^```$/gm, '');
  const headings = [...prose.matchAll(/^#+ (.+)$/gm)].map(([, heading = '']) => heading);
  return new Set(
    headings.map((heading) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N}\s_-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}

/** The targets of a page's links that lead into the project: `docs/names.md#ttl`, `#links`. */
export function linksOf(markdown: string): readonly string[] {
  const links = [...markdown.matchAll(/\]\(([^)\s]+)\)/g)].map(([, target = '']) => target);
  return links.filter((target) => !/^[a-z]+:/.test(target));
}
