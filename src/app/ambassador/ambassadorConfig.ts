/** The configuration of `soradns ambassador`. */
import type { ListeningRoute } from '../../ambassador/dropIn.ts';
import type { AMBASSADOR_COMMAND_OPTIONS } from '../../config/options/ambassadorOptions.ts';
import type { OptionValues } from '../../config/options/option.ts';
import type { StoreLocation } from '../../config/storeLocation.ts';

export interface AmbassadorConfig {
  /** Not empty. */
  readonly routes: readonly ListeningRoute[];
  readonly settings: OptionValues<typeof AMBASSADOR_COMMAND_OPTIONS>;
  /** The store of the services in the domains; undefined: DNS is asked for them. */
  readonly store: StoreLocation | undefined;
  readonly pathPrefix: string;
  /** The stores of targets that are keys, by the text in the target. */
  readonly keyStores: ReadonlyMap<string, StoreLocation>;
  /** For the log. */
  readonly notes: readonly string[];
}
