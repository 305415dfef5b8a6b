/** What an engine's answers say of the engine itself, and a stand-in for the id of an engine that has none. PURE. */
import { createHash } from 'node:crypto';
import { addressFamily } from '../dns/address.ts';
import type { DefaultBridge, EngineInfo } from './engine.ts';
import { asList, asObject, asText, type JsonObject } from './json.ts';
import { parseInstant } from './life.ts';

/** Reads `/info`. `undefined`: not the answer of an engine. */
export function parseInfo(answer: unknown): EngineInfo | undefined {
  const info = asObject(answer);
  const id = asText(info.ID);
  if (id === '') return undefined;
  const [name, rootDir] = [asText(info.Name), asText(info.DockerRootDir)];
  const isOwnId = !isPodman(info);
  return {
    id: isOwnId ? id : standInId(name, rootDir),
    isOwnId,
    name,
    nodeAddress: asText(asObject(info.Swarm).NodeAddr) || undefined,
    rootDir: rootDir || undefined,
    kernel: asText(info.KernelVersion) || undefined,
    timeNano: parseInstant(asText(info.SystemTime)),
  };
}

/** Every version of Podman's Docker API adds this field, and Docker has none of that name. */
function isPodman(info: JsonObject): boolean {
  return typeof info.BuildahVersion === 'string';
}

const DIGITS = 12;

/** Podman gives another id with each answer. Where its containers are stored is as stable as the engine itself. */
function standInId(name: string, rootDir: string): string {
  const hash = createHash('sha256').update(JSON.stringify([name, rootDir]));
  return `podman:${name}:${hash.digest('hex').slice(0, DIGITS)}`;
}

/** Reads `/networks/bridge`. Older engines leave out a gateway that they have chosen themselves. */
export function parseBridge(answer: unknown): DefaultBridge {
  const network = asObject(answer);
  const gateways = asList(asObject(network.IPAM).Config).map((each) =>
    asText(asObject(each).Gateway),
  );
  return {
    id: asText(network.Id) || undefined,
    gateway: gateways.find((address) => addressFamily(address) === 4),
    device: asText(asObject(network.Options)['com.docker.network.bridge.name']) || undefined,
  };
}
