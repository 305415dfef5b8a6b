/** A line of the table: the attack and the figure, what it should be at most, and what it is. */
export type HostileRow = readonly [what: string, target: string, measured: string];
