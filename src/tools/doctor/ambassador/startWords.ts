/** The options of the ambassador in the commands that findings suggest. Pure. */
import {
  type AmbassadorSettings,
  SERVE_AMBASSADOR_OPTIONS,
} from '../../../config/options/ambassadorOptions.ts';

/** The command that starts a server with these settings. */
export type StartLine = (settings: AmbassadorSettings) => string;

/** The settings that a check of a host without any assumes: those of `up --vip`. */
export function settingsOfVip(): AmbassadorSettings {
  const fallbacks = Object.entries(SERVE_AMBASSADOR_OPTIONS).map(([field, { fallback }]) => {
    return [field, fallback];
  });
  return { ...(Object.fromEntries(fallbacks) as AmbassadorSettings), ambassador: true, vip: true };
}

/** The words of the settings that are not defaults. */
export function ambassadorWords(settings: AmbassadorSettings): readonly string[] {
  return Object.entries(SERVE_AMBASSADOR_OPTIONS).flatMap(([field, { name, fallback }]) => {
    if (field === 'ambassador' && settings.vip) return [];
    const value = settings[field as keyof AmbassadorSettings];
    const text = textOf(value);
    if (text === textOf(fallback) || (field.startsWith('vipRange') && !settings.vip)) return [];
    return [value === true ? `--${name}` : `--${name}${value === false ? '=' : ' '}${text}`];
  });
}

function textOf(value: AmbassadorSettings[keyof AmbassadorSettings]): string {
  return typeof value === 'object' ? `${value.address}/${value.prefixLength}` : String(value);
}
