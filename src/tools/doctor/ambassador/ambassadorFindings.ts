/**
 * tools/doctor/ambassador/: Finds what keeps an ambassador's connections from their backends on this host.
 * Imports: ambassador, ambassador/nft, app/ambassador, app/process, config, config/options, kernel, registrar/engine,
 *   tools/doctor/judge.
 * Used by: cli/linking, tools/doctor.
 *
 * Collects the facts about the host's network, engine and rights, and judges each with the command that fixes it.
 */
import type { AmbassadorSettings } from '../../../config/options/ambassadorOptions.ts';
import type { Finding } from '../judge/finding.ts';
import type { PortFacts } from '../judge/port.ts';
import { judgeBridges } from './judgeBridges.ts';
import { judgeNetwork } from './judgeNetwork.ts';
import { judgePlane, judgeProxyPlane } from './judgePlane.ts';
import {
  collectPlaneFacts,
  type ExaminedServer,
  type PlaneFacts,
  type PlaneHost,
} from './planeFacts.ts';
import type { StartLine } from './startWords.ts';

/** The facts are collected at once, and judged once the command is known that starts the server. */
export async function collectAmbassador(
  host: PlaneHost,
  settings: AmbassadorSettings,
  server: ExaminedServer,
): Promise<(start: StartLine) => readonly Finding[]> {
  if (settings.plane === 'proxy') return judgeProxyPlane;
  const facts = await collectPlaneFacts(host, settings, server);
  return (start) => judgeAmbassador(facts, settings, start);
}

/** In the order of a connection's path. */
export function judgeAmbassador(
  facts: PlaneFacts,
  settings: AmbassadorSettings,
  start: StartLine,
): readonly Finding[] {
  return [
    ...judgePlane(facts, settings, start),
    ...judgeNetwork(facts, settings, start),
    ...judgeBridges(facts, settings),
  ];
}

/** The server at the ports that were examined. */
export function examinedServer(ports: readonly PortFacts[]): ExaminedServer {
  const [server] = ports.filter((port) => port.answersForUs || port.isSoradns);
  if (server === undefined) return 'none';
  return (server.udp ?? server.tcp)?.holder ?? 'unseen';
}
