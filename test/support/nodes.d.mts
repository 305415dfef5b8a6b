export function oldestNode(): string;
export function imageNode(): string;
export function provideNode(version: string): string;
export function packageName(): string;
