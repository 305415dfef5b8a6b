/**
 * Paths from the project: tests that do not depend on the version of Node although they use more of it than for
 * computing.
 */
export const INDEPENDENT_OF_NODE: readonly string[];
/** Tests that depend on the version of Node although nothing that they import does. */
export const DEPENDENT_ON_NODE: readonly string[];
export function dependsOnNode(file: string): boolean;
