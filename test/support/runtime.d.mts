/** Below the project: what shows nothing of Node although it uses more of it than computing takes. */
export const NOT_OF_NODE: readonly string[];
/** What shows something of Node although nothing that it imports does. */
export const OF_NODE: readonly string[];
export function dependsOnNode(file: string): boolean;
