export function cached(name: string): string;
