/** The option rows about which services answer for a name. */
import { option } from './option.ts';
import {
  eitherValue,
  mappedValue,
  oneOfValue,
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
};
