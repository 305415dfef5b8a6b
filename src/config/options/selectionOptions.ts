/** The option rows about which services answer for a name. */
import { type Cidr, parseCidr } from '../../forward/addresses.ts';
import { NEARNESSES, type Nearness } from '../../service/service.ts';
import { parseLabels } from './nameOptions.ts';
import { option } from './option.ts';
import {
  eitherValue,
  listOf,
  mappedValue,
  oneOfValue,
  parsedBy,
  switchValue,
  wholeNumberValue,
} from './valueForms.ts';

/** More labels than a name has. */
const MAX_DEPTH = 127;

export const SELECTION_OPTIONS = {
  parentValue: option<'hidden' | 'wins' | 'merged'>({
    name: 'parent-value',
    form: 'text',
    placeholder: 'HOW',
    choices: ['hidden', 'wins', 'merged'],
    describe:
      'how to answer for a key that has both a value and child keys: without its value (hidden), with its value alone (wins), or with both (merged)',
    schema: oneOfValue('hidden', 'wins', 'merged'),
    fallback: 'hidden',
    defaultText: 'hidden',
    expects: 'hidden, wins or merged',
    example: 'hidden',
    live: true,
  }),
  storedWildcards: option<boolean>({
    name: 'stored-wildcards',
    form: 'switch',
    describe: 'answer for names that do not exist with the services at *, as RFC 4592 says',
    schema: switchValue,
    fallback: true,
    defaultText: 'true',
    expects: 'true or false',
    example: 'false',
    live: true,
  }),
  /** `undefined`: unlimited. */
  aggregateDepth: option<number | undefined>({
    name: 'aggregate-depth',
    form: 'text',
    placeholder: 'LABELS',
    describe:
      'how many labels below a name its answers are gathered: 0 for the name itself only, 1 for its direct children too, or unlimited',
    schema: eitherValue(
      mappedValue(oneOfValue('unlimited'), () => undefined),
      wholeNumberValue(0, MAX_DEPTH),
    ),
    fallback: undefined,
    defaultText: 'unlimited',
    expects: `a whole number from 0 to ${MAX_DEPTH}, or unlimited`,
    example: '1',
    live: true,
  }),
  questionWildcards: option<'all' | 'any' | 'none'>({
    name: 'question-wildcards',
    form: 'text',
    placeholder: 'HOW',
    choices: ['all', 'any', 'none'],
    describe: 'labels of questions that match any label: * and any (all), any alone (any), or none',
    schema: oneOfValue('all', 'any', 'none'),
    fallback: 'all',
    defaultText: 'all',
    expects: 'all, any or none',
    example: 'none',
    live: true,
  }),
  near: option<Nearness>({
    name: 'near',
    form: 'text',
    placeholder: 'HOW',
    choices: NEARNESSES,
    describe:
      'how to answer with the services on this host, or else with those of its region: like the others (off), in front of them (first), or without them (only)',
    schema: oneOfValue(...NEARNESSES),
    fallback: 'off',
    defaultText: 'off',
    expects: 'off, first or only',
    example: 'first',
    live: true,
  }),
  /** `undefined`: `--register-ip` and what this host's interfaces tell. */
  nearNetworks: option<readonly Cidr[] | undefined>({
    name: 'near-networks',
    form: 'list',
    placeholder: 'CIDR',
    describe: 'addresses of the services on this host; repeatable',
    schema: listOf(parsedBy(parseCidr)),
    fallback: undefined,
    defaultText: "--register-ip, this host's addresses and Docker's bridge networks",
    expects: 'an address range',
    example: '172.17.0.0/16',
    live: true,
  }),
  /** `undefined`: that of `--register-region`. */
  region: option<string | undefined>({
    name: 'region',
    form: 'text',
    placeholder: 'LABEL',
    describe:
      'region of this server, by default that of --register-region: services with its labels in their names are in it',
    schema: parsedBy(parseLabels),
    fallback: undefined,
    expects: 'a label of a name',
    example: 'east',
    live: true,
  }),
};
