/** `ambassador.dns.<apex>`: the address at which the question arrived. */
import { describe, it } from 'node:test';
import { assertResponse, catalogOf, type Expected, name, respond } from '../support/zone.ts';

const HERE = 'ambassador.dns.skydns.local.';
const catalog = catalogOf({
  'local/skydns/www': { host: 'ambassador.dns.skydns.local' },
  'local/skydns/dns/ambassador': { host: '10.0.0.1' },
});

function check(q: string, localAddress: string | undefined, expected: Expected): void {
  const [qname = '', type = ''] = q.split(' ');
  const apexes = [name('skydns.local.'), name('other.local.')];
  const settings = { ambassador: true, apexes };
  const asked = localAddress === undefined ? { settings } : { settings, localAddress };
  const apex = qname.endsWith('other.local.') ? 'other.local.' : 'skydns.local.';
  assertResponse(respond(catalog, qname, type, asked), expected, apex);
}

describe('ambassador.dns', () => {
  it('A is the IPv4 address at which the question arrived, for no cache', () => {
    check(`${HERE} A`, '172.17.0.1', { answer: `${HERE} 0 IN A 172.17.0.1` });
    check(`${HERE} AAAA`, '172.17.0.1', {});
  });

  it('AAAA is the IPv6 address at which the question arrived', () => {
    check(`${HERE} AAAA`, 'fd00::1', { answer: `${HERE} 0 IN AAAA fd00::1` });
    check(`${HERE} A`, 'fd00::1', {});
  });

  it('The name exists in every zone', () => {
    const answer = 'ambassador.dns.other.local. 0 IN A 172.17.0.1';
    check('ambassador.dns.other.local. A', '172.17.0.1', { answer });
  });

  it('An unknown address and other types are NODATA', () => {
    check(`${HERE} A`, undefined, {});
    for (const type of ['TXT', 'SRV', 'MX', 'CNAME', 'PTR', 'NS'])
      check(`${HERE} ${type}`, '172.17.0.1', {});
    const answer = `${HERE} 3600 IN HINFO "RFC8482" ""`;
    check(`${HERE} ANY`, '172.17.0.1', { answer });
  });

  it('An alias leads to the address at which the question arrived', () => {
    check('www.skydns.local. A', '172.17.0.1', {
      answer: `
        www.skydns.local. 3600 IN CNAME ${HERE}
        ${HERE} 0 IN A 172.17.0.1`,
    });
  });

  it('Without an ambassador the name has the address that is registered for it', () => {
    const response = respond(catalog, HERE, 'A', { localAddress: '172.17.0.1' });
    assertResponse(response, { answer: `${HERE} 3600 IN A 10.0.0.1` });
  });
});
