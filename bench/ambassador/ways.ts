/** The ways from the client to a backend: directly, through the kernel, and through each proxy that is installed. */
import { existsSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isInstalled, type Running } from '../process.ts';
import { program } from '../soradns.ts';
import { ECHO_PORT, HOST_ADDRESS, type Scene, SINK_PORT } from './scene.ts';
import { startVipServer } from './vipServer.ts';

export type WayName =
  | 'direct'
  | 'nft'
  | 'portable'
  | 'splice'
  | 'haproxy'
  | 'socat'
  | 'docker-proxy'
  | 'pipe';

export interface Way {
  readonly name: WayName;
  readonly title: string;
  readonly address: string;
  readonly echoPort: number;
  readonly sinkPort: number;
  /** The processes that copy the octets; none if the kernel carries them. */
  readonly proxies: readonly Running[];
  stop(): Promise<void>;
}

export interface MissingWay {
  readonly name: WayName;
  /** Why it cannot be measured here. */
  readonly missing: string;
}

export async function openWays(scene: Scene): Promise<readonly (Way | MissingWay)[]> {
  return [
    directWay(scene),
    await kernelWay(scene),
    ourProxy(scene, 'portable'),
    ourProxy(scene, 'splice'),
    installed('haproxy', 'HAProxy', () => haproxyWay(scene)),
    installed('socat', 'socat', () => socatWay(scene)),
    installed('docker-proxy', 'docker-proxy', () => dockerProxyWay(scene)),
    pipeWay(scene),
  ];
}

function installed(name: WayName, title: string, open: () => Way): Way | MissingWay {
  return isInstalled(name) ? open() : { name, missing: `${title} is not installed` };
}

function directWay({ backends: [{ address }] }: Scene): Way {
  return {
    ...{ name: 'direct', title: 'direct', address, proxies: [], stop: async () => {} },
    ...{ echoPort: ECHO_PORT, sinkPort: SINK_PORT },
  };
}

/** The ports at the virtual address. */
const VIP_PORTS = { echoPort: 80, sinkPort: 81 };

async function kernelWay(scene: Scene): Promise<Way> {
  const server = await startVipServer(scene);
  const { echoPort, sinkPort } = VIP_PORTS;
  const [backend] = scene.backends;
  const web = { service: 'web' };
  await server.put({ ...web, instance: '1', port: SINK_PORT, expose: sinkPort }, backend);
  await server.put({ ...web, instance: '2', port: ECHO_PORT, expose: echoPort }, backend);
  const address = await server.addressOf('web', echoPort);
  return {
    ...{ name: 'nft', title: 'virtual address, nft', address, ...VIP_PORTS, proxies: [] },
    stop: () => server.stop(),
  };
}

const CARRIERS = join(program, '../ambassador/proxy/carry');

/** `portable` copies with Node's sockets; `splice` leaves that to the kernel. Early versions have only the first. */
function ourProxy(scene: Scene, name: 'portable' | 'splice'): Way | MissingWay {
  const hasChoice = existsSync(join(CARRIERS, 'spliceCarrier.js'));
  if (name === 'splice' && !hasChoice) return { name, missing: 'this version has no such carrier' };
  const carrier = hasChoice ? ['--carrier', name === 'splice' ? 'splice' : 'net'] : [];
  return proxyWay(scene, name, `soradns ambassador, ${name}`, ([echo, sink], [toEcho, toSink]) => [
    [
      ...[process.execPath, program, 'ambassador', '--listen', HOST_ADDRESS, ...carrier],
      ...['--max-per-source', '10000', `${echo}=${toEcho}`, `${sink}=${toSink}`],
    ],
  ]);
}

function haproxyWay(scene: Scene): Way {
  return proxyWay(scene, 'haproxy', 'HAProxy, splice-auto', ([echo, sink], [toEcho, toSink]) => {
    const file = join(scene.options.folder, 'haproxy.cfg');
    writeFileSync(
      file,
      `global
  maxconn 2000
  nbthread 1
defaults
  mode tcp
  option splice-auto
  timeout connect 5s
  timeout client 1m
  timeout server 1m
listen echo
  bind ${HOST_ADDRESS}:${echo}
  server backend ${toEcho}
listen sink
  bind ${HOST_ADDRESS}:${sink}
  server backend ${toSink}
`,
    );
    return [['haproxy', '-db', '-q', '-f', file]];
  });
}

/** As svendowideit/ambassador starts it: one socat for each port. */
function socatWay(scene: Scene): Way {
  return proxyWay(scene, 'socat', 'socat, as svendowideit/ambassador', (ports, targets) =>
    ports.map((port, i) => [
      ...['socat', '-t', '100000000', `TCP4-LISTEN:${port},fork,reuseaddr,bind=${HOST_ADDRESS}`],
      `TCP4:${targets[i]}`,
    ]),
  );
}

function dockerProxyWay(scene: Scene): Way {
  return proxyWay(scene, 'docker-proxy', 'docker-proxy', (ports, targets) =>
    ports.map((port, i) => {
      const [address = '', toPort = ''] = targets[i]?.split(':') ?? [];
      const options = `-host-ip ${HOST_ADDRESS} -host-port ${port} -container-ip ${address} -container-port ${toPort}`;
      // It reports to its parent on descriptor 3, and closes that.
      return ['sh', '-c', `exec docker-proxy -proto tcp ${options} 3>/dev/null`];
    }),
  );
}

/** Node's own streams, as a yardstick for what a carrier adds or saves. */
function pipeWay(scene: Scene): Way {
  const path = fileURLToPath(new URL('pipe.mjs', import.meta.url));
  return proxyWay(scene, 'pipe', 'Node, a.pipe(b)', (ports, targets) => [
    [
      process.execPath,
      path,
      HOST_ADDRESS,
      ...ports.flatMap((port, i) => [`${port}`, targets[i] ?? '']),
    ],
  ]);
}

let nextPort = 8100;

/** `commands` gets the ports to listen on, and where each of them leads. */
function proxyWay(
  scene: Scene,
  name: WayName,
  title: string,
  commands: (
    ports: readonly [number, number],
    targets: readonly [string, string],
  ) => readonly (readonly string[])[],
): Way {
  const [echoPort, sinkPort] = [nextPort++, nextPort++];
  const [{ address }] = scene.backends;
  const targets = [`${address}:${ECHO_PORT}`, `${address}:${SINK_PORT}`] as const;
  const lines = commands([echoPort, sinkPort], targets);
  const proxies = lines.map(([command = '', ...args]) => scene.start([command, ...args]));
  return {
    ...{ name, title, address: HOST_ADDRESS, echoPort, sinkPort, proxies },
    stop: async () => void (await Promise.all(proxies.map((proxy) => proxy.stop()))),
  };
}
