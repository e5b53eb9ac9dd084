import { afterAll, describe, expect, it } from 'vitest';
import { nodeEngine } from '../../src/engine/node.js';
import { referenceEngine } from '../../src/engine/reference.js';
import { requires } from '../support/requires.js';
import { backendTests, installed } from './backend-tests.js';
import { checkGradients } from './gradients.js';
import { checkOutputs } from './outputs.js';
import { checkFiles, checkFilesInRuntime } from './round-trip.js';
import { type Tally, tableOf } from './tally.js';

/** The fewest tests of Debian's 1.12 that pass each check: a new skip shows here. */
const checks: readonly (readonly [name: string, check: () => Promise<Tally> | Tally, fewest: number])[] = [
  ['are read, and written again as equal models', checkFiles, 1030],
  ['run in ONNX Runtime after we wrote them as they did before', checkFilesInRuntime, 950],
  ['compute what is expected in ONNX Runtime', () => checkOutputs(nodeEngine({ threads: 1 })), 828],
  ['compute what is expected in the reference engine', () => checkOutputs(referenceEngine()), 837],
  ['have gradients that agree with finite differences', checkGradients, 651],
];

describe("ONNX's backend tests", requires('ONNX backend tests', installed), () => {
  const tallies: Tally[] = [];
  afterAll(() => console.info(tableOf(tallies)));

  it('are there', () => expect(backendTests.length).toBeGreaterThan(1000));

  it.each(checks)(
    '%s',
    async (_, check, fewest) => {
      const tally = await check();
      tallies.push(tally);
      expect(tally.failed).toEqual([]);
      expect(tally.passed + tally.skips).toBe(backendTests.length);
      expect(tally.passed).toBeGreaterThanOrEqual(fewest);
    },
    // A thousand files each: seconds on a quiet machine, minutes on a busy one.
    600_000,
  );
});
