/** Whether somebody keeps the names of this host's containers. Pure. */
import { type Finding, findings } from './finding.ts';
import { type DesiredServer, startLine } from './remedy.ts';

export type RegistrarFacts =
  /** None was found where it was looked for; `hasDocker`: there are containers that could want one. */
  | { readonly kind: 'none'; readonly asked: readonly string[]; readonly hasDocker: boolean }
  | {
      readonly kind: 'running';
      readonly role: string;
      /** The host for which it stands by. */
      readonly holder: string | undefined;
      readonly reasons: readonly string[];
      readonly published: number;
      /** Names that somebody else has, and settings that were refused. */
      readonly left: number;
      /** What is wrong although it works, each with a line for a shell. */
      readonly found: readonly { readonly message: string; readonly fix: string }[];
    };

const { ok, problem, warning } = findings('registrar');

export function judgeRegistrar(facts: RegistrarFacts, desired: DesiredServer): readonly Finding[] {
  if (facts.kind === 'none') {
    const message = `no registrar answers at ${facts.asked.join(' or ')}`;
    if (!facts.hasDocker) return [ok(message)];
    return [warning(`${message}, so this host's containers get no names`, startLine(desired))];
  }
  const { role, holder, reasons, published, left, found } = facts;
  const see = 'soradns registrar status';
  const doing = holder === undefined ? role : `${role} for ${holder}`;
  const records = `${published} ${published === 1 ? 'record' : 'records'} in DNS`;
  return [
    ...reasons.map((reason) => problem(`the registrar is not ready: ${reason}`, see)),
    ...(reasons.length === 0 ? [ok(`the registrar is ready (${doing}), ${records}`)] : []),
    ...(left > 0
      ? [warning(`${left} of the names and settings of containers came to nothing`, see)]
      : []),
    ...found.map(({ message, fix }) => warning(message, fix)),
  ];
}
