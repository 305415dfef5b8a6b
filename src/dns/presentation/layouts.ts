/** The fields of each type's rdata, in the order of the wire and of the text. */
import { algorithm, certificateType, oldTypeSet, signatureTime, typeSet } from './dnssecFields.ts';
import {
  base32Field,
  base64OrNone,
  base64Rest,
  characterString,
  characterStrings,
  digitGroups,
  domainName,
  type Field,
  hexRest,
  ipAddress,
  type Mnemonics,
  quotedRest,
  rrType,
  saltField,
  typedDigest,
  unsigned,
} from './fields.ts';
import { location } from './location.ts';
import { typeCode } from './mnemonic.ts';
import {
  amtRelay,
  atmAddress,
  hostIdentity,
  ipsecGateway,
  networkList,
  nsapAddress,
  prefixedAddress,
  wellKnownServices,
} from './rareFields.ts';
import { serviceParameters } from './serviceParameters.ts';

const NAME = [domainName('name')];
const TWO_NAMES = [domainName('first name'), domainName('second name')];
const PREFERRED_NAME = [unsigned('preference', 2), domainName('name')];
const TEXTS = [characterStrings('text')];
const KEY_FACTS = [unsigned('flags', 2), unsigned('protocol', 1), algorithm];
const KEY = [...KEY_FACTS, base64Rest('key')];
const DIGEST = [
  unsigned('key tag', 2),
  algorithm,
  typedDigest('digest', 'digest type', { 1: 20, 2: 32, 4: 48 }),
];
const SIGNATURE = [
  rrType('type covered'),
  algorithm,
  unsigned('labels', 1),
  unsigned('original TTL', 4),
  signatureTime('expiration'),
  signatureTime('inception'),
  unsigned('key tag', 2),
  domainName('signer'),
  base64Rest('signature'),
];
const CERTIFICATE_ASSOCIATION = [
  unsigned('usage', 1),
  unsigned('selector', 1),
  unsigned('matching type', 1),
  hexRest('data'),
];
const SERVICE_BINDING = [unsigned('priority', 2), domainName('target'), serviceParameters];
const NSEC3_PARAMETERS = [
  unsigned('hash algorithm', 1),
  unsigned('flags', 1),
  unsigned('iterations', 2),
  saltField('salt'),
];
/** RFC 9859 §2.1. */
const DSYNC_SCHEMES: Mnemonics = { NOTIFY: 1 };

const LAYOUTS: Readonly<Record<string, readonly Field[]>> = {
  A: [ipAddress('address', 4)],
  NS: NAME,
  MD: NAME,
  MF: NAME,
  CNAME: NAME,
  SOA: [
    domainName('primary server'),
    domainName('mailbox'),
    unsigned('serial', 4),
    unsigned('refresh', 4),
    unsigned('retry', 4),
    unsigned('expire', 4),
    unsigned('minimum', 4),
  ],
  MB: NAME,
  MG: NAME,
  MR: NAME,
  WKS: [wellKnownServices],
  PTR: NAME,
  HINFO: [characterString('CPU'), characterString('OS')],
  MINFO: TWO_NAMES,
  MX: PREFERRED_NAME,
  TXT: TEXTS,
  RP: TWO_NAMES,
  AFSDB: [unsigned('subtype', 2), domainName('name')],
  X25: [characterString('address')],
  ISDN: [characterString('address'), characterStrings('subaddress', 0)],
  RT: PREFERRED_NAME,
  NSAP: [nsapAddress],
  'NSAP-PTR': NAME,
  SIG: SIGNATURE,
  /** RFC 2535 §3.1.2: the flags may say that there is no key. */
  KEY: [...KEY_FACTS, base64Rest('key', 0)],
  PX: [unsigned('preference', 2), ...TWO_NAMES],
  GPOS: [characterString('longitude'), characterString('latitude'), characterString('altitude')],
  AAAA: [ipAddress('address', 6)],
  LOC: [location],
  NXT: [domainName('next name'), oldTypeSet],
  EID: [hexRest('identifier')],
  NIMLOC: [hexRest('locator')],
  SRV: [unsigned('priority', 2), unsigned('weight', 2), unsigned('port', 2), domainName('target')],
  ATMA: [atmAddress],
  NAPTR: [
    unsigned('order', 2),
    unsigned('preference', 2),
    characterString('flags'),
    characterString('service'),
    characterString('regular expression'),
    domainName('replacement'),
  ],
  KX: PREFERRED_NAME,
  CERT: [certificateType, unsigned('key tag', 2), algorithm, base64Rest('certificate')],
  A6: [prefixedAddress],
  DNAME: NAME,
  SINK: [
    unsigned('meaning', 1),
    unsigned('coding', 1),
    unsigned('subcoding', 1),
    base64Rest('data', 0),
  ],
  APL: [networkList],
  DS: DIGEST,
  SSHFP: [
    unsigned('algorithm', 1),
    typedDigest('fingerprint', 'fingerprint type', { 1: 20, 2: 32 }),
  ],
  IPSECKEY: [ipsecGateway, base64Rest('public key', 0)],
  RRSIG: SIGNATURE,
  NSEC: [domainName('next name'), typeSet],
  DNSKEY: KEY,
  DHCID: [base64Rest('identifier')],
  NSEC3: [...NSEC3_PARAMETERS, base32Field('next hash'), typeSet],
  NSEC3PARAM: NSEC3_PARAMETERS,
  TLSA: CERTIFICATE_ASSOCIATION,
  SMIMEA: CERTIFICATE_ASSOCIATION,
  HIP: [hostIdentity],
  NINFO: TEXTS,
  RKEY: KEY,
  TALINK: TWO_NAMES,
  CDS: DIGEST,
  CDNSKEY: KEY,
  OPENPGPKEY: [base64Rest('key')],
  CSYNC: [unsigned('serial', 4), unsigned('flags', 2), typeSet],
  ZONEMD: [
    unsigned('serial', 4),
    unsigned('scheme', 1),
    unsigned('hash algorithm', 1),
    hexRest('digest'),
  ],
  SVCB: SERVICE_BINDING,
  HTTPS: SERVICE_BINDING,
  DSYNC: [
    rrType('type'),
    unsigned('scheme', 1, DSYNC_SCHEMES),
    unsigned('port', 2),
    domainName('target'),
  ],
  HHIT: [base64Rest('data')],
  BRID: [base64Rest('data')],
  SPF: TEXTS,
  NID: [unsigned('preference', 2), digitGroups('node identifier', 4, 4, ':')],
  L32: [unsigned('preference', 2), ipAddress('locator', 4)],
  L64: [unsigned('preference', 2), digitGroups('locator', 4, 4, ':')],
  LP: PREFERRED_NAME,
  EUI48: [digitGroups('address', 6, 2, '-')],
  EUI64: [digitGroups('address', 8, 2, '-')],
  URI: [unsigned('priority', 2), unsigned('weight', 2), quotedRest('target', 1)],
  CAA: [unsigned('flags', 1), tagField(), quotedRest('value')],
  AVC: TEXTS,
  DOA: [
    unsigned('enterprise', 4),
    unsigned('type', 4),
    unsigned('location', 1),
    characterString('media type'),
    base64OrNone('data'),
  ],
  AMTRELAY: [amtRelay],
  RESINFO: TEXTS,
  WALLET: TEXTS,
  TA: DIGEST,
  DLV: DIGEST,
};

/** The property of CAA, letters and digits behind their number (RFC 8659 §4.1). */
function tagField(): Field {
  return {
    print(cursor) {
      const tag = cursor.characterString();
      if (!/^[a-z0-9]+$/i.test(tag)) cursor.fail();
      return tag;
    },
    parse(words) {
      const tag = words.word('tag');
      if (!/^[a-z0-9]{1,255}$/i.test(tag)) words.fail('tag is not letters and digits');
      return String.fromCharCode(tag.length & 0xff) + tag;
    },
  };
}

const byCode: ReadonlyMap<number, readonly Field[]> = new Map(
  Object.entries(LAYOUTS).map(([name, fields]) => [typeCode(name) ?? 0, fields]),
);

/** The fields of a type's rdata in class IN; `undefined` for a type whose text is that of RFC 3597. */
export function layoutOf(type: number): readonly Field[] | undefined {
  return byCode.get(type);
}
