/** `serve` under systemd, or whoever speaks its protocols: sockets that are there already, and notes on how it goes. */
import { spawn } from 'node:child_process';
import { openNotifySocket } from '../dataplane/sockets/notify.ts';
import type { InheritedSocket } from '../server/listen.ts';
import { readActivation } from '../systemd/activation.ts';
import { identify } from '../systemd/inherited.ts';
import { type Supervisor, startSupervisor, watchdogMsOf } from '../systemd/supervisor.ts';
import { Failure } from './failure.ts';

type Env = Readonly<Record<string, string | undefined>>;

/**
 * The sockets to serve instead of those of `--addr`; none: there are no others. `wanted` is `--systemd`: true, they must
 * be there; false, they are not taken; undefined, they are if they are there. Throws a `Failure`.
 */
export async function inheritedSockets(
  wanted: boolean | undefined,
  env: Env,
): Promise<readonly InheritedSocket[]> {
  if (wanted === false) return [];
  const activation = readActivation(env, process.pid);
  if (activation.kind === 'none') {
    if (wanted === undefined) return [];
    const hint =
      'start it by its socket unit (systemctl start soradns.socket), or leave --systemd out';
    throw new Failure('usage', '--systemd: no sockets were handed over', hint);
  }
  const identified = await identify(activation.descriptors);
  if (identified.kind === 'sockets') return identified.sockets;
  const hint = 'a socket unit has ListenDatagram= and ListenStream= with addresses';
  throw new Failure('usage', identified.problem, hint);
}

/** Tells the service manager, if there is one, how it goes. `note` gets what an operator should know. */
export function superviseBy(
  env: Env,
  status: () => string,
  note: (text: string) => void,
): Supervisor | undefined {
  const address = env.NOTIFY_SOCKET;
  if (!address) return undefined;
  const opened = openNotifySocket(address);
  if (opened.kind === 'missing')
    note(`${opened.reason}; systemd-notify is used, which needs NotifyAccess=all`);
  const send = opened.kind === 'socket' ? opened.socket.send : sendByProgram;
  return startSupervisor({
    send: (message) => void send(message),
    watchdogMs: watchdogMsOf(env, process.pid),
    status,
    monotonicMicros: () => process.hrtime.bigint() / 1_000n,
  });
}

/** The message comes from another process then, and late; NOTIFY_SOCKET is in its environment. */
function sendByProgram(message: string): void {
  const words = [`--pid=${process.pid}`, ...message.split('\n')];
  const child = spawn('systemd-notify', words, { stdio: 'ignore' });
  child.on('error', () => {}); // it is not there: nobody can be told
}
