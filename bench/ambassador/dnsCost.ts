/** What the ambassador and Consul's names cost DNS: server CPU per answer, measured as the part `dataplane` does. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { finding, ratioOf } from '../dataplane/compare.ts';
import { alternate, type Contender, saturate, warmUp } from '../dataplane/contenders.ts';
import { costTable, cpuOf } from '../dataplane/costTable.ts';
import { Lab, NAMES, type QuestionFile } from '../dataplane/lab.ts';
import { addressOf, BENCH_FOLDER, BENCH_PARENT, type BenchName, questionText } from '../names.ts';
import type { Ambassador } from './measured.ts';
import type { Scene } from './scene.ts';
import { clearTables } from './vipServer.ts';

const SECONDS = 1;
const QUIET_TIMEOUT_MS = 500;
const CONSUL_DOMAIN = 'consul';

export async function measureDnsCost(scene: Scene): Promise<Ambassador> {
  const { folder, rounds } = scene.options;
  const lab = new Lab({ folder, rounds, seconds: SECONDS, manyNames: NAMES });
  try {
    const contenders = [...(await idleContenders(lab)), ...(await consulContenders(lab, folder))];
    await warmUp(lab, contenders);
    const samples = await alternate(
      contenders,
      rounds,
      (contender, round) => saturate(lab, contender, round),
      QUIET_TIMEOUT_MS,
    );
    const [without, idle, plain, consul] = samples.map(cpuOf);
    return {
      text: costTable(contenders, samples),
      findings: [
        finding(
          'hit of a Consul-style name ÷ plain hit, CPU',
          1.05,
          ratioOf(consul ?? [], plain ?? []),
        ),
        finding(
          'DNS CPU per answer with the ambassador idle ÷ without',
          1.02,
          ratioOf(idle ?? [], without ?? []),
        ),
      ],
    };
  } finally {
    await lab.close();
    clearTables();
  }
}

async function idleContenders(lab: Lab): Promise<readonly Contender[]> {
  const load = { questions: lab.questions('hits') };
  return [
    { title: 'without an ambassador', server: await lab.ours(), load },
    {
      ...{ title: '`--vip`, no service has a virtual address', load },
      server: await lab.startOurs({ args: ['--vip', '--ambassador-plane', 'nft'] }),
    },
  ];
}

/** One server, asked for the same services by their names and by Consul's. */
async function consulContenders(lab: Lab, folder: string): Promise<readonly Contender[]> {
  const services = Array.from({ length: NAMES }, (_, i) => `web${i}`);
  const zone = services.map((service, i): BenchName => {
    const [name, key] = [`1.${service}.${BENCH_PARENT}`, `${BENCH_FOLDER}/${service}/1`];
    return { name, key, address: addressOf(i) };
  });
  const server = await lab.startOurs({
    zone,
    args: ['--consul-domain', CONSUL_DOMAIN, '--consul-base', BENCH_PARENT],
  });
  const questions = (title: string, parent: string): QuestionFile => {
    const named = zone.map((each, i) => ({ ...each, name: `${services[i]}.${parent}` }));
    const path = join(folder, title);
    writeFileSync(path, questionText(named, ['SRV', 'A']));
    return { path, count: named.length };
  };
  return [
    { title: 'plain names', server, load: { questions: questions('plain', BENCH_PARENT) } },
    {
      ...{ title: 'Consul’s names', server },
      load: { questions: questions('consul', `service.${CONSUL_DOMAIN}`) },
    },
  ];
}
