/** Faults that a registrar finds while it works, for its log, `/readyz`, `registrar status` and doctor. Pure. */
import { shown } from './describe/description.ts';
import type { EngineInfo } from './engine/engine.ts';
import type { Profile } from './leadership/identity.ts';
import type { PeerRegistrar } from './leadership/peers.ts';

export interface RegistrarFinding {
  /**
   * `duplicate`: another engine has this engine's id. `overlapping`: another registrar of this engine shares zones of
   * ours.
   */
  readonly kind: 'duplicate' | 'overlapping';
  /** The hosts of this engine and of the other one. */
  readonly hosts: readonly [string, string];
  /** One line, without a full stop. */
  readonly message: string;
  /** A command line that fixes it, or shows more. */
  readonly fix: string;
}

/** One line for people. */
export function printFinding({ message, fix }: RegistrarFinding): string {
  return `${message}; ${fix}`;
}

/** `undefined`: the peer is not a fault. */
export function findingOf(
  { kind, lock }: PeerRegistrar,
  info: EngineInfo,
  own: { readonly host: string; readonly profile: Profile },
): RegistrarFinding | undefined {
  const { holder } = lock;
  const hosts = [labelOf(own.host, own.profile), labelOf(holder.host, holder.profile)] as const;
  const zones = shown((holder.profile?.work.zones ?? []).join(', '));
  switch (kind) {
    case 'duplicate':
      // Podman has no id of its own, so the operator cannot change it.
      if (!info.isOwnId) return undefined;
      return {
        kind,
        hosts,
        message: `two Docker engines have the same id, ${info.id}: ${hosts.join(' and ')}. Both are served, but one of them needs an id of its own`,
        fix: renewalLine(info),
      };
    case 'overlapping':
      return {
        kind,
        hosts,
        message: `another registrar of this engine, on ${shown(holder.host)}, shares some of our zones: it has ${zones}. The registrar that writes a name first keeps it`,
        fix: 'soradns registrar status   # give both the same --zone options, or zones that have nothing in common',
      };
    case 'disjoint':
      return undefined;
  }
}

/** The engine's host with its addresses and folder, because cloned machines may differ in any of them. */
function labelOf(host: string, profile: Profile | undefined): string {
  const details = [...(profile?.addresses ?? []), ...(profile?.rootDir ? [profile.rootDir] : [])];
  const name = shown(profile?.name ?? host);
  return details.length === 0 ? name : `${name} (${shown(details.join(', '))})`;
}

/** Before Docker 23.0 the id was in /etc/docker/key.json, and newer versions read that file if it exists. */
function renewalLine({ rootDir = '/var/lib/docker' }: EngineInfo): string {
  const files = `${quoted(`${rootDir}/engine-id`)} /etc/docker/key.json`;
  return `sudo systemctl stop docker.socket docker && sudo rm -f ${files} && sudo systemctl start docker   # on one of the two hosts`;
}

function quoted(path: string): string {
  return /^[\w./-]+$/.test(path) ? path : `'${path.replaceAll("'", "'\\''")}'`;
}
