/** Below the project: what shows nothing of Node although it uses more of it than computing takes. */
export const INDEPENDENT_OF_NODE: readonly string[];
/** What shows something of Node although nothing that it imports does. */
export const DEPENDENT_ON_NODE: readonly string[];
export function dependsOnNode(file: string): boolean;
