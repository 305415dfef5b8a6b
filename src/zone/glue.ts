/** The additional section of answers that name targets: the targets' addresses, as far as they can be had. */
import { type Name, nameKey } from '../dns/name.ts';
import { type Rr, Type } from '../dns/rr.ts';
import type { Service } from '../service/service.ts';
import type { Followed, Trail } from './chain.ts';
import { followTarget } from './follow.ts';
import { appendNew, rrset, type TimedRdata } from './rrset.ts';
import type { Work } from './work.ts';

/** An answer without the addresses of its targets is an answer all the same (RFC 2782). */
const GLUE_TRAIL: Trail = { names: [], need: 'optional' };

/** Addresses grouped into RRsets, then what the target names lead to, each looked up once. */
export class Glue {
  readonly #work: Work;
  readonly #addresses = new Map<string, { owner: Name; type: number; members: TimedRdata[] }>();
  readonly #names = new Map<string, Name>();

  constructor(work: Work) {
    this.#work = work;
  }

  addAddress(owner: Name, service: Service, ttlSeconds: number): void {
    const type = service.family === 4 ? Type.A : Type.AAAA;
    const key = `${nameKey(owner)} ${type}`;
    const set = this.#addresses.get(key) ?? { owner, type, members: [] };
    set.members.push({ rdata: { kind: 'address', address: service.address }, ttlSeconds });
    this.#addresses.set(key, set);
  }

  addName(target: Name): void {
    this.#names.set(nameKey(target), target);
  }

  /** What is not found is left out. */
  rrs(): Rr[] {
    const section: Rr[] = [];
    const seen = new Set<string>();
    for (const { owner, type, members } of this.#addresses.values()) {
      appendNew(section, seen, rrset(owner, type, members));
    }
    for (const target of this.#names.values()) {
      for (const type of [Type.A, Type.AAAA]) {
        const end = this.#follow(target, type);
        if (end?.kind === 'found') appendNew(section, seen, end.rrs);
      }
    }
    return section;
  }

  /** A fault costs this target's addresses, never the answer. */
  #follow(target: Name, type: number): Followed | undefined {
    try {
      return followTarget(this.#work, target, type, GLUE_TRAIL);
    } catch (error) {
      this.#work.view.onFault(error);
      return undefined;
    }
  }
}
