export function provideComponents(setup?: {
  readonly env?: NodeJS.ProcessEnv;
  readonly isRoot?: boolean;
  readonly policyFile?: string;
  readonly print?: (line: string) => void;
}): boolean;
