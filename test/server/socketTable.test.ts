import assert from 'node:assert/strict';
import test from 'node:test';
import { parseSockets } from '../../src/server/listening/socketTable.ts';

const HEAD =
  '  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode\n';

test('The socket table is parsed as Linux prints it', () => {
  const udp = `${HEAD}13706: 010011AC:0035 00000000:0000 07 00000000:00000000 00:00000000 00000000 65532        0 1997794 2 0000000069416805 0\n`;
  assert.deepEqual(parseSockets(udp, 'udp'), [
    {
      address: '172.17.0.1',
      port: 53,
      transport: 'udp',
      isListening: true,
      inode: '1997794',
      uid: 65532,
    },
  ]);
  const tcp6 = `${HEAD}   0: B80D0120000000000000000001000000:1516 00000000000000000000000000000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 17 1 0000000000000000 100 0 0 10 0\n`;
  assert.deepEqual(parseSockets(tcp6, 'tcp'), [
    {
      address: '2001:db8::1',
      port: 5398,
      transport: 'tcp',
      isListening: true,
      inode: '17',
      uid: 0,
    },
  ]);
});

test('A connection in the socket table is not a listening socket', () => {
  const row = `${HEAD}  1: 0100007F:D431 0100007F:0035 01 00000000:00000000 00:00000000 00000000     0        0 18 1 0000000000000000 0\n`;
  assert.equal(parseSockets(row, 'tcp')[0]?.isListening, false);
});

test('The parser of the socket table ignores lines that are not sockets', () => {
  assert.deepEqual(parseSockets('', 'udp'), []);
  assert.deepEqual(parseSockets(`${HEAD}  garbage\n 1: zz:0035 x 07\n`, 'udp'), []);
});
