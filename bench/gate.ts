/**
 * The part `gate`: what `--allow`, cookies, the rate limit and `--near` add to the CPU time of an answer. Each has a
 * server of its own, beside one without it.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { ServerCookies } from '../src/dataplane/reply/serverCookies.ts';
import { sockaddrOf } from '../src/dataplane/sockets/layout.ts';
import { COOKIE_OCTETS, OptionCode } from '../src/dns/edns.ts';
import { finding, ratioOf, targetTable } from './dataplane/compare.ts';
import { alternate, type Contender, type Load, saturate, warmUp } from './dataplane/contenders.ts';
import { costTable, cpuOf } from './dataplane/costTable.ts';
import { Lab, type LabOptions } from './dataplane/lab.ts';

const SECRET = 'e5e973e5a6b2a43f48e7dc849e37bfcf';
const CLIENT_COOKIE = Buffer.from('2464c4abcf10c957', 'hex');

/** 64 ranges that do not contain the client, less the one that does. */
const RANGES = Array.from({ length: 63 }, (_, i) => `10.${4 * i}.0.0/16`).concat('127.0.0.0/8');

/** No name reaches the limit, and the client is not exempt from it. */
const UNREACHED = ['--rrl', '100000', '--rrl-exempt', '192.0.2.0/24'];

/** Half of all addresses are near. */
const NEAR = ['--near', 'first', '--near-networks', '0.0.0.0/1'];

/** Returns markdown. */
export async function benchGate(options: LabOptions): Promise<string> {
  const lab = new Lab(options);
  try {
    const contenders = await contendersOf(lab);
    await warmUp(lab, contenders);
    const samples = await alternate(contenders, options.rounds, (contender, round) =>
      saturate(lab, contender, round),
    );
    const [plain, allowed, limited, near, opt, cookies] = samples.map((each) => cpuOf(each));
    const findings = [
      finding('--allow with 64 ranges ÷ none', 1.02, ratioOf(allowed ?? [], plain ?? [])),
      finding('--rrl ÷ off', 1.05, ratioOf(limited ?? [], plain ?? [])),
      finding('--near first ÷ off', 1.02, ratioOf(near ?? [], plain ?? [])),
      finding('cookies ÷ OPT', 1.25, ratioOf(cookies ?? [], opt ?? [])),
    ];
    const costs = costTable(contenders, samples);
    return `### Who gets answers\n\n${costs}\n\n### Targets\n\n${targetTable(findings)}`;
  } finally {
    await lab.close();
  }
}

async function contendersOf(lab: Lab): Promise<readonly Contender[]> {
  const secrets = join(lab.options.folder, 'cookie-secrets');
  writeFileSync(secrets, SECRET);
  const plain = await lab.ours();
  const allowed = await lab.startOurs({ args: ['--allow', RANGES.join(',')] });
  const limited = await lab.startOurs({ args: UNREACHED });
  const near = await lab.startOurs({ args: NEAR });
  const cookies = await lab.startOurs({ args: ['--cookies', '--cookie-secret-file', secrets] });
  const hits: Load = { questions: lab.questions('hits') };
  return [
    { title: 'plain', server: plain, load: hits },
    { title: '--allow, 64 ranges', server: allowed, load: hits },
    { title: '--rrl', server: limited, load: hits },
    { title: '--near first', server: near, load: hits },
    { title: 'OPT', server: plain, load: { ...hits, edns: true } },
    {
      title: 'OPT with a cookie',
      server: cookies,
      load: { ...hits, edns: { options: cookieOption() } },
    },
  ];
}

/** An option with a valid cookie of the generator's address, in hexadecimal digits. */
function cookieOption(): string {
  const maker = new ServerCookies([Uint8Array.from(Buffer.from(SECRET, 'hex'))]);
  maker.unixSeconds = Math.floor(Date.now() / 1000);
  maker.setClient(sockaddrOf('127.0.0.1'), 0);
  maker.read(CLIENT_COOKIE, 0, CLIENT_COOKIE.length);
  const cookie = new Uint8Array(COOKIE_OCTETS);
  maker.write(cookie, 0);
  const head = [0, OptionCode.COOKIE, 0, COOKIE_OCTETS];
  return Buffer.concat([Buffer.from(head), cookie]).toString('hex');
}
