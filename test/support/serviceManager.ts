/**
 * Does for a service what systemd does: binds sockets before the service starts, and receives its notifications
 * (sd_notify).
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { MAIN } from './cli.ts';
import { newTempDir, removeDir } from './tempDir.ts';
import { until } from './until.ts';

/** Binds the sockets of a specification as descriptors 3, 4, ... and executes the program. */
const ACTIVATE = `
import json, os, socket, sys
spec, program = json.loads(sys.argv[1]), sys.argv[2:]
fds = []
for one in spec["sockets"]:
    if one["kind"] == "file":
        fds.append(os.open("/dev/null", os.O_RDONLY))
        continue
    family = socket.AF_INET6 if ":" in one["address"] else socket.AF_INET
    kind = socket.SOCK_STREAM if one["kind"] in ("tcp", "idle") else socket.SOCK_DGRAM
    bound = socket.socket(family, kind)
    bound.bind((one["address"], one.get("port", 0)))
    if one["kind"] == "tcp":
        bound.listen(64)
    fds.append(bound.detach())
spare = [os.dup2(fd, 100 + i) for i, fd in enumerate(fds)]
for i, fd in enumerate(spare):
    os.dup2(fd, 3 + i, inheritable=True)
    os.close(fd)
env = dict(os.environ, LISTEN_FDS=str(len(fds)), LISTEN_PID=str(os.getpid() + spec.get("pidOff", 0)))
env["LISTEN_FDNAMES"] = ":".join(one["kind"] for one in spec["sockets"])
os.execve(program[0], program, env)
`;

export interface SocketSpec {
  /** `idle`: a TCP socket that does not listen. `file`: not a socket. */
  readonly kind: 'udp' | 'tcp' | 'idle' | 'file';
  readonly address: string;
  /** Default: a free port. */
  readonly port?: number;
}

/**
 * Program for `startCli`: soradns with these sockets. `pidOff`: added to LISTEN_PID, which then names another process.
 */
export function activated(
  sockets: readonly SocketSpec[],
  pidOff = 0,
): readonly [string, ...string[]] {
  const spec = JSON.stringify({ sockets, pidOff });
  return ['python3', '-c', ACTIVATE, spec, process.execPath, MAIN];
}

/** Prints each received message with the sender's pid. */
const LISTEN = `
import json, socket, struct, sys
address = sys.argv[1]
receiver = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
receiver.setsockopt(socket.SOL_SOCKET, socket.SO_PASSCRED, 1)
receiver.bind("\\0" + address[1:] if address.startswith("@") else address)
print("{}", flush=True)
while True:
    text, ancillary, _, _ = receiver.recvmsg(65536, socket.CMSG_SPACE(12))
    pid = next((struct.unpack("3i", data)[0] for _, kind, data in ancillary if kind == 2), 0)
    print(json.dumps({"pid": pid, "text": text.decode()}), flush=True)
`;

export interface Notification {
  readonly pid: number;
  readonly lines: readonly string[];
  readonly atMs: number;
}

export interface NotifyReceiver {
  /** Value of NOTIFY_SOCKET. */
  readonly address: string;
  readonly notifications: readonly Notification[];
  /** Waits for a notification with this line; returns it. */
  received(line: string | RegExp): Promise<Notification>;
  close(): Promise<void>;
}

/** Starts a receiver on a socket in a folder, or on an abstract name. */
export async function startNotifyReceiver(isAbstract = false): Promise<NotifyReceiver> {
  const folder = await newTempDir();
  const address = isAbstract ? `@${folder}` : join(folder, 'notify');
  const child = spawn('python3', ['-c', LISTEN, address], { stdio: ['ignore', 'pipe', 'inherit'] });
  const kill = () => void child.kill('SIGKILL');
  process.on('exit', kill);
  const notifications: Notification[] = [];
  let isListening = false;
  createInterface({ input: child.stdout }).on('line', (line) => {
    const { pid, text } = JSON.parse(line) as { pid?: number; text?: string };
    isListening = true;
    if (pid !== undefined && text !== undefined)
      notifications.push({ pid, lines: text.split('\n'), atMs: performance.now() });
  });
  await until('the receiver listens', () => isListening, 20_000);
  const find = (wanted: string | RegExp) =>
    notifications.find(({ lines }) =>
      lines.some((line) => (typeof wanted === 'string' ? line === wanted : wanted.test(line))),
    );
  return {
    address,
    notifications,
    async received(line) {
      await until(`the service sends ${line}`, () => find(line) !== undefined, 30_000);
      return find(line) as Notification;
    },
    async close() {
      process.off('exit', kill);
      child.kill('SIGKILL');
      await once(child, 'close');
      await removeDir(folder);
    },
  };
}
