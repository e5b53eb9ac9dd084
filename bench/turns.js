/** Timing in turns: whatever slows the machine down for a while slows all contestants down alike. */

/** The middle value; the mean of the two middle ones for an even count. */
export function median(values) {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** Seconds that a function takes. */
export async function secondsOf(work) {
  const start = performance.now();
  await work();
  return (performance.now() - start) / 1000;
}

/** On a busy machine a benchmark ends with fewer rounds after so many seconds, so that all of them take minutes. */
const PATIENCE = 30;
const FEWEST_ROUNDS = 3;

/**
 * Times contestants in turn, after one round that is not counted.
 *
 * @param contestants functions that return the seconds of one repetition, by name.
 * @returns seconds by name, in the order of the rounds.
 */
export async function takeTurns(contestants, rounds, onRound) {
  const names = Object.keys(contestants);
  const seconds = Object.fromEntries(names.map((name) => [name, []]));
  for (const name of names) await contestants[name]();
  const end = performance.now() + PATIENCE * 1000;
  for (let round = 0; round < rounds; round++) {
    if (round >= FEWEST_ROUNDS && performance.now() > end) break;
    // The order turns round too: who comes second finds other caches.
    for (const name of round % 2 === 0 ? names : names.toReversed()) seconds[name].push(await contestants[name]());
    onRound(round + 1);
  }
  return seconds;
}
