// Takes memory until there is none left for the thread.
import { parentPort } from 'node:worker_threads';

parentPort.on('message', () => {
  const held = [];
  for (;;) held.push(new Array(1000).fill(held.length));
});
