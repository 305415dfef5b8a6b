/** `doctor` on a host whose files, addresses and programs come from the test; everything else is real. */
import assert from 'node:assert/strict';
import { mkdir, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { HostNetwork } from '../../src/app/process/network.ts';
import { readConfig } from '../../src/config/config.ts';
import type { FlagValue } from '../../src/config/settings.ts';
import { DNS_PORT } from '../../src/dns/address.ts';
import { examine } from '../../src/tools/doctor/examine.ts';
import { type Host, hostAt } from '../../src/tools/doctor/host.ts';
import type { Finding } from '../../src/tools/doctor/judge/finding.ts';
import { withTempDir } from './tempDir.ts';

export interface Patient {
  /**
   * Flags of `serve`. By default a memory store, no HTTP listener and, unless `isDefault`, an address without a server.
   */
  readonly flags?: Readonly<Record<string, FlagValue>>;
  /** Variables of `serve`, which may hold secrets. */
  readonly env?: Readonly<Record<string, string>>;
  /** No option sets the server's address. */
  readonly isDefault?: boolean;
  /** Path -> text; no other file exists. */
  readonly files?: Readonly<Record<string, string>>;
  /** This host's address on Docker's bridge. */
  readonly bridge?: string;
  /** The addresses with a listener on port 53. */
  readonly listeners?: readonly string[];
  /** Command line -> its output. */
  readonly programs?: Readonly<Record<string, string>>;
}

/** Writes files below a folder, which stands for `/`. */
export async function writeFiles(
  root: string,
  files: Readonly<Record<string, string>>,
): Promise<void> {
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  }
}

function networkOf({ bridge, listeners = [] }: Patient): HostNetwork {
  return {
    addresses: async () => new Set(['127.0.0.1', '::1', ...(bridge === undefined ? [] : [bridge])]),
    bridgeAddress: async () => bridge,
    dnsListeners: async () => listeners.map((address) => ({ address, port: DNS_PORT })),
    networks: async () => ({ interfaces: [], routes: [] }),
    engineInfo: async () => undefined,
    engineSocket: undefined,
  };
}

/** All findings, or only those of one `check`. */
export function examined(patient: Patient, check?: string): Promise<readonly Finding[]> {
  return withTempDir(async (root) => {
    await writeFiles(root, patient.files ?? {});
    const host: Host = {
      ...hostAt(root, networkOf(patient)),
      run: async (...line) => patient.programs?.[line.join(' ')],
    };
    const nowhere = patient.isDefault ? {} : { addr: '127.0.0.1:1' };
    const defaults = { store: 'memory:', http: 'off', ...nowhere };
    const read = readConfig({
      flags: { ...defaults, ...patient.flags },
      env: patient.env ?? {},
      readFile: () => ({ problem: 'no files here' }),
      stateDirectory: '/nonexistent',
    });
    assert.ok(read.kind === 'config', JSON.stringify(read));
    const found = await examine(read.config, host);
    return check === undefined ? found : found.filter((finding) => finding.check === check);
  });
}

/** The one finding of a check. */
export async function finding(patient: Patient, check: string): Promise<Finding> {
  const [first, ...more] = await examined(patient, check);
  assert.ok(first !== undefined && more.length === 0, JSON.stringify([first, ...more]));
  return first;
}
