// A Node process that does nothing, with as many threads as its argument says, which wait as the server's workers do.
import { Worker } from 'node:worker_threads';

const WAITING = 'Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0)';
for (let left = Number(process.argv[2]); left > 0; left--) new Worker(WAITING, { eval: true });
setInterval(() => {}, 2 ** 30);
