/** `pipe.mjs ADDRESS [PORT TARGET]...`: the plainest proxy that Node's streams make. */
import { connect, createServer } from 'node:net';

const [address, ...pairs] = process.argv.slice(2);
for (let i = 0; i < pairs.length; i += 2) {
  const [host, port] = pairs[i + 1].split(':');
  createServer({ noDelay: true }, (client) => {
    const backend = connect({ host, port: Number(port), noDelay: true });
    for (const [from, to] of [
      [client, backend],
      [backend, client],
    ]) {
      from.pipe(to);
      from.on('error', () => to.destroy());
    }
  }).listen(Number(pairs[i]), address);
}
