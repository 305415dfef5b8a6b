export const BUILT_ETCDS: readonly string[];
export function builtEtcd(version: string): string | undefined;
export function buildEtcds(): boolean;
