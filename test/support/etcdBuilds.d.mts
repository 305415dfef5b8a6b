export const BUILT_ETCDS: readonly string[];
export function builtEtcd(version: string): string | undefined;
export function needBuiltEtcds(files: readonly string[]): boolean;
export function buildEtcds(): void;
