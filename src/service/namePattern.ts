/**
 * The patterns of `--allow`: whole names, compared label by label, so that `web` allows neither `web-admin` nor
 * `x.web`. `*` stands for any one label, `{project}` for the container's project, and a leading `**` for any number of
 * labels, including none: `**.shop.skydns.local` is `shop.skydns.local` and all names below it.
 */
import { foldName, MAX_LABEL_OCTETS, type Name } from '../dns/name.ts';

export interface NamePattern {
  /** Whether any number of labels may come before `labels`. */
  readonly isOpen: boolean;
  /** Folded; `*` and `{project}` unchanged. */
  readonly labels: readonly string[];
}

/**
 * In a name, stands for a label that is not decided yet, such as the number of an `auto` name. Only wildcards match it.
 */
export const UNKNOWN_LABEL = '*';

const OPEN = '**';
const ANY = '*';
const PROJECT = '{project}';
/** The most labels of a name of 255 octets. */
const MAX_LABELS = 127;

/** `undefined` for text that is not a pattern: an empty label, `web-*`, `**` after another label. */
export function parseNamePattern(text: string): NamePattern | undefined {
  const parts = text.replace(/\.$/, '').split('.');
  if (parts.length > MAX_LABELS) return undefined;
  const isOpen = parts[0] === OPEN;
  const labels = foldName(isOpen ? parts.slice(1) : parts);
  return labels.every(isPatternLabel) ? { isOpen, labels } : undefined;
}

function isPatternLabel(label: string): boolean {
  if (label === ANY || label === PROJECT) return true;
  // Only labels that containers may have, so that `web-*` or a regular expression is an error.
  return label.length <= MAX_LABEL_OCTETS && /^[a-z0-9_](?:[a-z0-9_-]*[a-z0-9_])?$/.test(label);
}

/** Whether the pattern allows a folded name to a container of this project (`undefined`: of no project). */
export function matchesPattern(
  { isOpen, labels }: NamePattern,
  name: Name,
  project: string | undefined,
): boolean {
  const before = name.length - labels.length;
  if (isOpen ? before < 0 : before !== 0) return false;
  return labels.every((label, i) => {
    const own = name[before + i];
    if (label === ANY) return true;
    return label === PROJECT ? own === project : own === label;
  });
}

/** Whether the pattern can match a name at or below the zone, which is folded. */
export function matchesBelow({ isOpen, labels }: NamePattern, zone: Name): boolean {
  const before = labels.length - zone.length;
  if (before < 0 && !isOpen) return false;
  return labels.every((label, i) => {
    const own = zone[i - before];
    return own === undefined || label === ANY || label === PROJECT || own === label;
  });
}

/** The pattern in the option's syntax, with the project, if given, in place of `{project}`. */
export function printPattern({ isOpen, labels }: NamePattern, project?: string): string {
  const shown = labels.map((label) => (label === PROJECT ? (project ?? label) : label));
  return [...(isOpen ? [OPEN] : []), ...shown].join('.');
}

/** Whether only containers of a project can match. */
export function needsProject({ labels }: NamePattern): boolean {
  return labels.includes(PROJECT);
}
