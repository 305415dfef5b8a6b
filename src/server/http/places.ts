/** A bounded number of places for requests that hold on to something: a wait, a long listing. */

/** Takes a place and gives back how to leave it, once; undefined when all are taken. */
export type TakePlace = () => (() => void) | undefined;

/** So many places, all free. */
export function places(count: number): TakePlace {
  let taken = 0;
  return () => {
    if (taken >= count) return undefined;
    taken++;
    return () => {
      taken--;
    };
  };
}
