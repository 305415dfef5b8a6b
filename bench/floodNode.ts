/** dnsflood.c's work in Node, for machines without a C compiler: same arguments, same line of figures. */
import { createSocket } from 'node:dgram';
import { readFileSync } from 'node:fs';
import { encode, type RecordType } from 'dns-packet';

const SOCKETS = 4;
const WINDOW = 64;
const LOST_AFTER_MS = 200;

const [port = '', questionFile = '', seconds = ''] = process.argv.slice(2);
const questions = readFileSync(questionFile, 'utf8')
  .trim()
  .split('\n')
  .map((line) => {
    const [name = '', type] = line.split(' ');
    return encode({ type: 'query', flags: 256, questions: [{ name, type: type as RecordType }] });
  });

const rcodes = new Map<number, number>();
let next = 0;
let answered = 0;
let lost = 0;
let octets = 0;

function openSocket(): { stop(): void } {
  const socket = createSocket('udp4');
  let outstanding = 0;
  let lastAnswer = performance.now();
  const ask = (): void => {
    for (; outstanding < WINDOW; outstanding++)
      socket.send(questions[next++ % questions.length] ?? '');
  };
  socket.on('error', () => {});
  socket.on('message', (bytes) => {
    outstanding = Math.max(0, outstanding - 1);
    lastAnswer = performance.now();
    answered += 1;
    octets += bytes.length;
    const rcode = (bytes[3] ?? 0) & 15;
    rcodes.set(rcode, (rcodes.get(rcode) ?? 0) + 1);
    if (outstanding <= (WINDOW * 3) / 4) ask();
  });
  socket.connect(Number(port), '127.0.0.1', ask);
  const timer = setInterval(() => {
    if (performance.now() - lastAnswer < LOST_AFTER_MS) return;
    lost += outstanding;
    outstanding = 0;
    ask();
  }, LOST_AFTER_MS / 4);
  return {
    stop: () => {
      clearInterval(timer);
      socket.close();
    },
  };
}

const began = performance.now();
const sockets = Array.from({ length: SOCKETS }, openSocket);
setTimeout(() => {
  const qps = Math.round((answered * 1000) / (performance.now() - began));
  const count = (rcode: number): number => rcodes.get(rcode) ?? 0;
  console.log(
    `qps=${qps} answered=${answered} lost=${lost} noerror=${count(0)} nxdomain=${count(3)} refused=${count(5)} servfail=${count(2)} avgbytes=${Math.round(octets / (answered || 1))}`,
  );
  for (const socket of sockets) socket.stop();
}, Number(seconds) * 1000);
