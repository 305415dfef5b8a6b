/**
 * What Docker's set-up does to connections between containers of one host: within a bridge, between bridges, and through
 * a published port. Pure.
 */
import { CROSSING_MARK } from '../../../ambassador/nft/tableText.ts';
import type { AmbassadorSettings } from '../../../config/options/ambassadorOptions.ts';
import { type Finding, findings } from '../judge/finding.ts';
import type { DockerdSwitch } from './dockerdSettings.ts';
import type { PlaneFacts } from './planeFacts.ts';

export function judgeBridges(facts: PlaneFacts, settings: AmbassadorSettings): readonly Finding[] {
  const { engine, dockerd } = facts;
  if (engine !== undefined && engine.kind !== 'docker') return [];
  return [
    ...judgeBridgeRules(facts.bridgeRules),
    ...(dockerd === undefined ? [] : judgeUserlandProxy(dockerd.userlandProxy)),
    ...(settings.vip ? judgeIsolation(facts, settings) : []),
  ];
}

const BRIDGE_RULES = 'net.bridge.bridge-nf-call-iptables';

/** Where packets within a bridge pass no rules, a reply would not be translated back. */
function judgeBridgeRules(rules: PlaneFacts['bridgeRules']): readonly Finding[] {
  if (rules === undefined) return [];
  const { ok } = findings('br_netfilter');
  const state = {
    on: `${BRIDGE_RULES} is 1`,
    off: `${BRIDGE_RULES} is 0`,
    absent: 'br_netfilter is not loaded',
  }[rules];
  return [
    ok(`${state}; connections within a bridge are masqueraded, so they work with any setting`),
  ];
}

function judgeUserlandProxy({ isOn, setBy }: DockerdSwitch): readonly Finding[] {
  const { ok, warning } = findings('userland-proxy');
  if (isOn) return [ok("containers of all bridges reach published ports at the host's address")];
  const message =
    "dockerd runs without its userland proxy: a connection from another bridge to the host's address and a published port hangs; virtual addresses lead to the container's own address";
  const restart = 'sudo systemctl restart docker';
  if (setBy !== undefined && 'option' in setBy)
    return [
      warning(
        message,
        `sudo systemctl edit --full docker   # without ${setBy.option}, then: ${restart}`,
      ),
    ];
  const edit = `sudo sed -i -E 's/("userland-proxy"[[:space:]]*:[[:space:]]*)false/\\1true/'`;
  return [warning(message, `${edit} ${setBy?.file} && ${restart}`)];
}

const ONE_NETWORK = 'docker network connect NETWORK CONTAINER   # a network of both containers';

/** Docker drops packets between its bridges unless a rule in its chain DOCKER-USER accepts them before. */
function judgeIsolation(
  { engine, dockerd, dockerUser }: PlaneFacts,
  { crossBridge }: AmbassadorSettings,
): readonly Finding[] {
  const { ok, warning } = findings('isolation');
  const unreachable = 'virtual addresses do not lead to containers on another bridge of this host';
  if (!crossBridge) return [ok(`${unreachable}, as --ambassador-cross-bridge=false asks`)];
  if (dockerd?.writesRules === false)
    return [ok('dockerd writes no rules, so it does not isolate its bridges from each other')];
  const backend = engine?.firewall ?? dockerd?.firewall;
  if (backend?.startsWith('nftables')) {
    const message = `dockerd writes its rules with nftables, which has no chain DOCKER-USER; ${unreachable}`;
    return [
      warning(
        message,
        `${ONE_NETWORK}; or, from Docker 29: dockerd --bridge-accept-fwmark ${CROSSING_MARK}/${CROSSING_MARK}; or: dockerd --firewall-backend iptables`,
      ),
    ];
  }
  switch (dockerUser) {
    case 'present':
      return [ok('virtual addresses lead to published ports on all bridges, by DOCKER-USER')];
    case 'noChain': {
      const message = `the chain DOCKER-USER does not exist; ${unreachable}`;
      return [warning(message, 'sudo systemctl restart docker   # dockerd makes the chain')];
    }
    case 'noProgram': {
      const message = `the program iptables, which writes into DOCKER-USER, cannot be run; ${unreachable}`;
      const fix = 'sudo apt-get install iptables   # iptables-legacy also needs CAP_NET_RAW';
      return [warning(message, fix)];
    }
    case undefined:
      return [];
  }
}
