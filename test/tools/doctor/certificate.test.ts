/** doctor's judgement about the certificate of DNS over TLS and HTTPS. */
import assert from 'node:assert/strict';
import test from 'node:test';
import { judgeCertificate } from '../../../src/tools/doctor/judge/certificate.ts';

const NOW = 1_800_000_000;
const DAY = 86_400;

const validities: readonly [number, string, RegExp][] = [
  [90 * DAY, 'ok', /is for dns\.example, and valid for 90 days$/],
  [14 * DAY, 'ok', /valid for 14 days$/],
  [14 * DAY - 1, 'warning', /expires in 13 days$/],
  [DAY - 1, 'warning', /expires in 0 days$/],
  [-1, 'problem', /has expired$/],
];

for (const [left, level, message] of validities)
  test(`A certificate that is valid for ${left} s is judged: ${level}`, () => {
    const state = {
      kind: 'usable',
      names: ['dns.example'],
      expiresUnixSeconds: NOW + left,
    } as const;
    const finding = judgeCertificate({ certFile: '/etc/a.pem', state }, NOW);
    assert.equal(finding.level, level);
    assert.match(finding.message, message);
  });

test('A certificate that cannot be used is a problem, and the fix shows what is in its file', () => {
  const state = { kind: 'unusable', problem: '--server-cert: cannot read it' } as const;
  const finding = judgeCertificate({ certFile: "/etc/it's.pem", state }, NOW);
  assert.equal(finding.level, 'problem');
  assert.match(finding.fix ?? '', /^openssl x509 .* -in '\/etc\/it'\\''s\.pem'$/);
});
