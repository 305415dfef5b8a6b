import assert from 'node:assert/strict';
import test from 'node:test';
import { reorderingOf } from '../../../src/ambassador/nft/crossBridge.ts';

const rules = (...targets: readonly string[]) =>
  ['-P FORWARD DROP', ...targets.map((target) => `-A FORWARD ${target}`)].join('\n');

const CASES: readonly (readonly [what: string, rules: string, commands: string[] | undefined])[] = [
  ['Docker 20 as it should be', rules('-j DOCKER-USER', '-j DOCKER-ISOLATION-STAGE-1'), undefined],
  ['Docker 28', rules('-j DOCKER-USER', '-j DOCKER-FORWARD'), undefined],
  [
    'Docker 20 after a restart with live-restore',
    rules('-j DOCKER-ISOLATION-STAGE-1', '-j DOCKER-USER', '-o docker0 -j DOCKER'),
    ['-D FORWARD -j DOCKER-USER', '-I FORWARD -j DOCKER-USER'],
  ],
  [
    'rules of another program first',
    rules('-j ufw-before-forward', '-j DOCKER-USER', '-j DOCKER-FORWARD'),
    undefined,
  ],
  ['a jump that was removed', rules('-j DOCKER-FORWARD'), ['-I FORWARD -j DOCKER-USER']],
  ['no rules of Docker', rules('-j ufw-before-forward'), undefined],
];

for (const [what, listed, commands] of CASES)
  test(`DOCKER-USER comes before Docker's other chains, given ${what}`, () => {
    assert.deepEqual(reorderingOf(listed, 'DOCKER-USER'), commands);
  });

test('Where Docker has no DOCKER-USER, our rule comes before its chains', () => {
  const ours = '-m conntrack --ctstate DNAT -m comment --comment soradns -j ACCEPT';
  const added = reorderingOf(rules('-j DOCKER-ISOLATION-STAGE-1'), 'FORWARD');
  assert.equal(added?.length, 1);
  assert.match(added?.[0] ?? '', /^-I FORWARD .*--comment soradns -j ACCEPT$/);
  assert.equal(reorderingOf(rules(ours, '-j DOCKER-ISOLATION-STAGE-1'), 'FORWARD'), undefined);
  const moved = reorderingOf(rules('-j DOCKER-ISOLATION-STAGE-1', ours), 'FORWARD');
  assert.deepEqual(
    moved?.map((command) => command.slice(0, 10)),
    ['-D FORWARD', '-I FORWARD'],
  );
});
