/** What `describe` makes of a container: the records that it should have, and what was refused, with the reasons. */
import type { Check } from './check.ts';

/** A record as it should stand in the store. */
export interface DesiredRecord {
  /** Where it goes; for `instance: 'auto'` without its last component, which is claimed: the smallest free number. */
  readonly key: string;
  readonly instance: 'named' | 'auto';
  /** Of `auto`: stands behind the number, as `-v6` in `1-v6`. */
  readonly instanceSuffix?: string;
  /** Where it goes while somebody else holds `key` (two replicas with one registrator SERVICE_ID). */
  readonly keyIfTaken?: string;
  readonly fields: RecordFields;
  /** registrator's tags and attributes, kept with the owner's stamp. */
  readonly meta?: RecordMeta;
  /** To be passed before the record is published, and all the while. */
  readonly check?: Check;
}

/** SkyDNS's JSON, without those that are not set. `ttl` always is. */
export interface RecordFields {
  readonly host: string;
  readonly port?: number;
  readonly priority?: number;
  readonly weight?: number;
  readonly text?: string;
  readonly mail?: boolean;
  readonly ttl: number;
  readonly targetstrip?: number;
  readonly group?: string;
}

export interface RecordMeta {
  readonly tags?: readonly string[];
  readonly attributes?: Readonly<Record<string, string>>;
}

export interface Refusal {
  /** The name, port or metadata key that it is about; printable. */
  readonly about: string;
  readonly reason: string;
}

export type Description =
  | {
      readonly kind: 'described';
      readonly records: readonly DesiredRecord[];
      readonly refusals: readonly Refusal[];
      /** `drain`: withdrawn at the stop signal; `die`: when it has ended. */
      readonly stop: 'drain' | 'die';
      /** Present: there will be more records, and this is what is not known yet. */
      readonly waiting?: string;
    }
  /** Not published: no metadata, not running, unhealthy, switched off. */
  | { readonly kind: 'ignored'; readonly reason: string }
  /** Should be published and will be, but something is not known yet (no IP). */
  | { readonly kind: 'waiting'; readonly reason: string };
