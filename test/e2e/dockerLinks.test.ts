/** `docker run --link` of real Docker daemons against the variables that we make, and against the recorded ones. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { linkVariables } from '../../src/ambassador/linkVariables.ts';
import type { Dockerd } from '../support/dockerd.ts';
import {
  isUnchanged,
  linkedServiceOf,
  RECORDED_LINKS,
  type RecordedLink,
} from '../support/dockerLinks.ts';
import { useDockerd } from '../support/dockerTest.ts';
import { provideNewerDebian } from '../support/newerDebian.ts';

const installed = useDockerd();
const debian = provideNewerDebian();
const newer =
  debian.kind === 'there' ? useDockerd({ root: debian.root }) : useDockerd({}, debian.reason);

/** The variables of the alias in a container that is linked to the recorded provider, without the provider's address. */
async function linkedBy(
  dockerd: Dockerd,
  { alias, expose, env, address }: RecordedLink,
): Promise<readonly string[]> {
  const args = [
    ...expose.flatMap((port) => ['--expose', port]),
    ...env.flatMap((pair) => ['--env', pair]),
  ];
  await dockerd.run({ name: 'provider', args });
  const format = '{{.NetworkSettings.Networks.bridge.IPAddress}}';
  const actual = await dockerd.docker('inspect', '--format', format, 'provider');
  const link = ['--name', 'consumer', '--link', `provider:${alias}`];
  const printed = await dockerd.docker('run', '--rm', ...link, 'bb', 'env');
  await dockerd.docker('rm', '--force', 'provider');
  const prefix = `${alias.toUpperCase().replaceAll('-', '_')}_`;
  return printed
    .split('\n')
    .filter((line) => line.startsWith(prefix))
    .map((line) => line.replaceAll(actual, address));
}

function ours(recorded: RecordedLink): readonly string[] {
  return linkVariables(linkedServiceOf(recorded), 'docker').map(
    ({ name, value }) => `${name}=${value}`,
  );
}

test(
  'The installed Docker sets the variables that we make, in the order of its version',
  installed.options,
  installed.on(async (dockerd) => {
    const version = await dockerd.docker('version', '--format', '{{.Server.Version}}');
    const isOld = Number.parseInt(version, 10) < 24;
    for (const recorded of RECORDED_LINKS) {
      const lines = await linkedBy(dockerd, recorded);
      assert.deepEqual(lines, isOld ? recorded.docker20 : recorded.docker28);
      if (!isOld) assert.deepEqual(ours(recorded), lines);
      else
        assert.deepEqual(
          ours(recorded).filter(isUnchanged).sort(),
          lines.filter(isUnchanged).sort(),
        );
    }
  }),
);

test(
  'Docker 28 sets the variables that we make, byte for byte and in the same order',
  newer.options,
  newer.on(async (dockerd) => {
    for (const recorded of RECORDED_LINKS)
      assert.deepEqual(ours(recorded), await linkedBy(dockerd, recorded));
  }),
);
