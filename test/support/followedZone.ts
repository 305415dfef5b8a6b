/** A zone that a test changes, followed as a running ambassador follows the store. */
import { OutsideAnswers } from '../../src/ambassador/follow/outsideAnswers.ts';
import { ZoneFollower } from '../../src/ambassador/follow/zoneFollower.ts';
import type { Question } from '../../src/dns/message.ts';
import { Catalog } from '../../src/zone/tree/catalog.ts';
import { type External, NO_FACTS } from '../../src/zone/tree/view.ts';
import { FakeClock } from './fakeClock.ts';
import { settingsOf } from './zone.ts';

export class ChangingZone {
  readonly clock = new FakeClock();
  readonly follower: ZoneFollower;
  readonly outside: OutsideAnswers;
  /** Questions that were sent to other servers. */
  readonly asked: Question[] = [];
  /** Answers other servers' questions. */
  answerOutside: (question: Question) => External | Promise<External> = () => ({ kind: 'failed' });
  readonly catalog: Catalog;
  #revision = 0;
  #isLoaded: boolean;

  constructor({ isLoaded = true }: { readonly isLoaded?: boolean } = {}) {
    this.#isLoaded = isLoaded;
    this.catalog = new Catalog({
      prefix: '/skydns/',
      onApplied: (nodes) => this.follower.onApplied(nodes),
    });
    this.outside = new OutsideAnswers({
      ask: async (question) => {
        this.asked.push(question);
        return this.answerOutside(question);
      },
      clock: this.clock,
      isUsed: (name) => this.follower.isFollowed(name),
      onChange: (name) => this.follower.onOutsideAnswer(name),
    });
    const { root } = this.catalog;
    this.follower = new ZoneFollower({
      zone: { root, facts: NO_FACTS, settings: () => settingsOf(), isLoaded: () => this.#isLoaded },
      outside: this.outside,
      clock: this.clock,
      onError: (error) => {
        throw error;
      },
    });
  }

  load(): void {
    this.#isLoaded = true;
    this.follower.refresh();
  }

  /** Writes values by key, below the prefix; `undefined` deletes the key. All at once. */
  write(values: Readonly<Record<string, object | undefined>>): void {
    const changes = Object.entries(values).map(([path, value]) => {
      const [key, modRevision] = [`/skydns/${path}`, ++this.#revision];
      if (value === undefined)
        return { kind: 'delete', key, modRevision, previous: undefined } as const;
      const octets = Buffer.from(JSON.stringify(value));
      const entry = {
        key,
        value: octets,
        createRevision: modRevision,
        modRevision,
        lease: undefined,
      };
      return { kind: 'put', entry, previous: undefined } as const;
    });
    this.catalog.apply(changes);
  }
}
