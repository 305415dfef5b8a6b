/**
 * Records in zone-file text (RFC 1035 §5.1, RFC 3597 §5), as dig prints them but with one tab between fields. Safe to
 * show on a terminal and to log: octets outside printable ASCII are `\DDD`.
 */
import { className, typeName } from './mnemonic.ts';
import { printName } from './name.ts';
import type { Rdata, Rr } from './rr.ts';

/** `owner. TTL CLASS TYPE rdata`, separated by tabs. */
export function printRr(rr: Rr): string {
  const fields = [printName(rr.owner), rr.ttlSeconds, className(rr.class), typeName(rr.type)];
  return `${fields.join('\t')}\t${printRdata(rr)}`;
}

/** The rdata alone, fields separated by blanks. */
export function printRdata({ rdata }: Pick<Rr, 'rdata'>): string {
  switch (rdata.kind) {
    case 'address':
      return rdata.address;
    case 'name':
      return printName(rdata.target);
    case 'srv':
      return `${rdata.priority} ${rdata.weight} ${rdata.port} ${printName(rdata.target)}`;
    case 'mx':
      return `${rdata.preference} ${printName(rdata.exchange)}`;
    case 'txt':
      return rdata.strings.map(quote).join(' ');
    case 'soa':
      return printSoa(rdata);
    case 'hinfo':
      return `${quote(rdata.cpu)} ${quote(rdata.os)}`;
    case 'unknown':
      return printUnknown(rdata.octets);
  }
}

function printSoa(soa: Extract<Rdata, { kind: 'soa' }>): string {
  const { serial, refreshSeconds, retrySeconds, expireSeconds, minimumSeconds } = soa;
  const numbers = [serial, refreshSeconds, retrySeconds, expireSeconds, minimumSeconds];
  return `${printName(soa.mname)} ${printName(soa.rname)} ${numbers.join(' ')}`;
}

/** RFC 3597 §5: `\# length hex`. */
function printUnknown(octets: Uint8Array): string {
  const hex = Buffer.from(octets).toString('hex').toUpperCase();
  return hex === '' ? '\\# 0' : `\\# ${octets.length} ${hex}`;
}

function quote(octets: string): string {
  const escaped = octets.replace(/[^ -~]|["\\]/g, (char) => {
    if (char === '"' || char === '\\') return `\\${char}`;
    return `\\${String(char.charCodeAt(0)).padStart(3, '0')}`;
  });
  return `"${escaped}"`;
}
