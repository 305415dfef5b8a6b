/** The option rows for signed answers. */
import { option } from './option.ts';
import { filePath, listOf, mappedValue, wholeNumberValue } from './valueForms.ts';

/** A day, below which caches would hold expired signatures, and a year. */
const VALIDITY = { least: 86_400, most: 31_536_000 };

export const DNSSEC_OPTIONS = {
  dnssec: option<readonly string[]>({
    name: 'dnssec',
    form: 'list',
    placeholder: 'PATH',
    describe:
      "sign answers: base name of a key's two files (BIND's format), or a folder of keys; repeatable",
    schema: listOf(mappedValue(filePath, keyPath)),
    fallback: [],
    defaultText: 'none',
    expects: 'the base name of a key, or a folder',
    example: '/etc/soradns/keys',
    env: ['SKYDNS_DNSSEC'],
    jsonKeys: ['dnssec'],
    fixedAtStart: true,
    live: true,
  }),
  dnssecValiditySeconds: option<number>({
    name: 'dnssec-validity',
    form: 'text',
    placeholder: 'SECONDS',
    describe: 'how long a signature is valid, less up to a tenth so that not all end at once',
    schema: wholeNumberValue(VALIDITY.least, VALIDITY.most),
    fallback: 691_200,
    defaultText: '691200',
    expects: `whole seconds from ${VALIDITY.least} to ${VALIDITY.most}`,
    example: '1209600',
    live: true,
  }),
  dnssecSignRate: option<number>({
    name: 'dnssec-sign-rate',
    form: 'text',
    placeholder: 'PER_SECOND',
    describe:
      'signatures made a second; beyond it clients are told to ask over TCP, where they wait',
    schema: wholeNumberValue(1, 1_000_000),
    fallback: 2000,
    defaultText: '2000',
    expects: 'a whole number from 1 to 1000000',
    example: '500',
    live: true,
  }),
};

/** Either of a key's two files stands for both, because shells complete their names. */
function keyPath(path: string): string {
  return path.replace(/\.(key|private)$/, '');
}
