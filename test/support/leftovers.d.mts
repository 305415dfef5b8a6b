export const MARK: string;
export function endLeftovers(mark: string): Promise<string[]>;
