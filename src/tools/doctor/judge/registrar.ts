/** Whether a registrar registers this host's containers. Pure. */
import { type Finding, findings } from './finding.ts';
import { type DesiredServer, startLine } from './remedy.ts';

export type RegistrarFacts =
  /** No registrar answers at these URLs. `hasDocker`: this host may have containers that need one. */
  | { readonly kind: 'none'; readonly asked: readonly string[]; readonly hasDocker: boolean }
  | {
      readonly kind: 'running';
      readonly role: string;
      /** The host whose registrar writes, for a standby. */
      readonly holder: string | undefined;
      readonly reasons: readonly string[];
      readonly published: number;
      /** The number of conflicts and refused settings. */
      readonly left: number;
      /** The registrar's findings, each with a fix for a shell. */
      readonly found: readonly { readonly message: string; readonly fix: string }[];
    };

const { ok, problem, warning } = findings('registrar');

export function judgeRegistrar(facts: RegistrarFacts, desired: DesiredServer): readonly Finding[] {
  if (facts.kind === 'none') {
    const message = `no registrar answers at ${facts.asked.join(' or ')}`;
    if (!facts.hasDocker) return [ok(message)];
    return [
      warning(`${message}, so this host's containers are not registered`, startLine(desired)),
    ];
  }
  const { role, holder, reasons, published, left, found } = facts;
  const see = 'soradns registrar status';
  const doing = holder === undefined ? role : `${role} for ${holder}`;
  const records = `${published} ${published === 1 ? 'record' : 'records'} in DNS`;
  return [
    ...reasons.map((reason) => problem(`the registrar is not ready: ${reason}`, see)),
    ...(reasons.length === 0 ? [ok(`the registrar is ready (${doing}), ${records}`)] : []),
    ...(left > 0
      ? [warning(`${left} names or settings of containers are not in effect`, see)]
      : []),
    ...found.map(({ message, fix }) => warning(message, fix)),
  ];
}
