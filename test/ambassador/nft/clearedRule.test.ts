/** The rule in DOCKER-USER when the tables are removed, with a slow iptables of the test's own. */
import assert from 'node:assert/strict';
import { chmodSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import test, { before } from 'node:test';
import { openNftPlane } from '../../../src/ambassador/nft/nftPlane.ts';
import { systemClock } from '../../../src/timing/clock.ts';
import { enterOwnNetwork, noOwnNetwork } from '../../support/ownNetwork.ts';
import { until } from '../../support/until.ts';

const options = noOwnNetwork === undefined ? {} : { skip: noOwnNetwork };

before(() => {
  if (noOwnNetwork === undefined) enterOwnNetwork();
});

/** Keeps one rule in a file. It is absent at first, and looking for it takes long. */
const IPTABLES = `#!/bin/sh
at="$(dirname "$0")"
case "$*" in
*" -C "*) touch "$at/looking"; sleep 0.5; test -e "$at/rule" ;;
*" -I DOCKER-USER "*) touch "$at/rule"; echo added >> "$at/log" ;;
*" -D "*) rm "$at/rule" 2> /dev/null ;;
*" -S "*) exit 0 ;;
esac
`;

test(
  'A rule that is being added while the tables are removed is removed too',
  options,
  async (context) => {
    const folder = mkdtempSync(join(tmpdir(), 'soradns-'));
    const { PATH = '' } = process.env;
    context.after(() => {
      process.env.PATH = PATH;
      rmSync(folder, { recursive: true });
    });
    const program = join(folder, 'iptables');
    writeFileSync(program, IPTABLES);
    chmodSync(program, 0o755);
    process.env.PATH = `${folder}:${PATH}`;
    const opened = await openNftPlane({
      forms: [{ family: 4, range: undefined, balance: 'random' }],
      ...{ drainSeconds: 30, crossBridge: true, clock: systemClock },
      ...{ onState: () => {}, onCorrected: () => {}, onThreadLost: () => {} },
    });
    assert.ok(opened.kind === 'opened');
    const { plane } = opened;
    context.after(() => plane.close());
    const has = (name: string): boolean => {
      try {
        readFileSync(join(folder, name));
        return true;
      } catch {
        return false;
      }
    };
    plane.release();
    await until('it looks for the rule', () => has('looking'));
    await plane.clear();
    await until('the rule was added', () => has('log'));
    assert.equal(has('rule'), false);
  },
);
