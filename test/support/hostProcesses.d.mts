export function endHost(name: string, timeoutMs: number): Promise<void>;
