/** How long the event loop may go without a turn. */
const LONGEST_BLOCK_MS = 50;

/**
 * A function to await between pieces of work: now and then it lets timers, signals and a progress bar have their turn.
 * Computing does not always yield to them, and a timer each time would cost a millisecond.
 */
export function createEventLoopPause(): () => Promise<void> {
  let last = performance.now();
  return async () => {
    if (performance.now() - last < LONGEST_BLOCK_MS) return;
    await new Promise((resolve) => setTimeout(resolve, 0));
    last = performance.now();
  };
}
