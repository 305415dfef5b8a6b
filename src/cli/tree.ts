import { type Label, parseName, printLabel } from '../dns/name.ts';
import { printable } from '../printable.ts';
import { describeHiders, describeService, type EntryView } from './entryView.ts';
import type { Output } from './io.ts';
import { paint } from './output.ts';

interface Branch {
  readonly children: Map<Label, Branch>;
  readonly views: EntryView[];
}

/** The services as a tree of labels from the root down, one label a line; keys that are no names come last. */
export function tree(views: readonly EntryView[], output: Output): string {
  const root: Branch = { children: new Map(), views: [] };
  const nameless: EntryView[] = [];
  for (const view of views) {
    const name = view.name === undefined ? undefined : parseName(view.name);
    if (name === undefined) nameless.push(view);
    else branchOf(root, name).views.push(view);
  }
  const lines = [...root.children].flatMap(([label, branch]) =>
    branchLines(printLabel(label), branch, '', '', output),
  );
  for (const view of nameless) lines.push(`${printable(view.key)}  ${describe(view, output)}`);
  return lines.map((line) => `${line}\n`).join('');
}

function branchOf(root: Branch, name: readonly Label[]): Branch {
  let branch = root;
  for (const label of name.toReversed()) {
    let child = branch.children.get(label);
    if (child === undefined) {
      child = { children: new Map(), views: [] };
      branch.children.set(label, child);
    }
    branch = child;
  }
  return branch;
}

/** A label that only leads to one other is joined with it: `local` and `skydns` are the line `skydns.local`. */
function branchLines(
  label: string,
  branch: Branch,
  lead: string,
  indent: string,
  output: Output,
): string[] {
  const children = [...branch.children];
  const [only] = children;
  if (branch.views.length === 0 && children.length === 1 && only !== undefined) {
    return branchLines(`${printLabel(only[0])}.${label}`, only[1], lead, indent, output);
  }
  const described = branch.views.map((view) => describe(view, output)).join('; ');
  const lines = [`${lead}${paint(label, 'bold', output)}${described && `  ${described}`}`];
  children.forEach(([childLabel, child], i) => {
    const last = i === children.length - 1;
    const childLead = `${indent}${last ? '└─ ' : '├─ '}`;
    const childIndent = `${indent}${last ? '   ' : '│  '}`;
    lines.push(...branchLines(printLabel(childLabel), child, childLead, childIndent, output));
  });
  return lines;
}

function describe(view: EntryView, output: Output): string {
  if (view.invalid !== undefined)
    return paint(`invalid: ${printable(view.invalid)}`, 'red', output);
  const { service = {}, hiddenBy = [], expiresSeconds: left } = view;
  const words = [printable(describeService(service))];
  if (left !== undefined) words.push(paint(`(${left}s left)`, 'dim', output));
  if (hiddenBy.length > 0) words.push(paint(printable(describeHiders(hiddenBy)), 'yellow', output));
  return words.join('  ');
}
