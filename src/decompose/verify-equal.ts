import { type Engine, runOnce } from '../engine/engine.js';
import { ShiboriError } from '../errors.js';
import type { Graph } from '../graph/model.js';
import { countElements } from '../tensor/dims.js';
import { isFloat } from '../tensor/dtype.js';
import { seeded } from '../tensor/random.js';
import { float32, type Tensor } from '../tensor/tensor.js';

/** Seed of the random inputs. */
const INPUT_SEED = 20110601;

function buildRandomFeeds(graph: Graph, batch: number): Record<string, Tensor> {
  return Object.fromEntries(
    graph.inputs.map(({ name, type }, i) => {
      const dims = (type?.dims ?? []).map((dim) => (typeof dim === 'number' ? dim : batch));
      const stream = seeded(INPUT_SEED, i);
      return [
        name,
        float32(
          Array.from({ length: countElements(dims) }, () => stream.uniform(-2, 2)),
          dims,
        ),
      ];
    }),
  );
}

/**
 * Runs two graphs on the same random inputs and compares their first outputs.
 *
 * @param tolerance largest difference allowed, as a share of the largest magnitude of the output.
 * @param batch what symbolic dimensions are. Default: 2.
 * @returns the largest difference, as that share.
 * @throws ShiboriError when they differ by more.
 */
export async function verifyEqual(
  engine: Engine,
  before: Graph,
  after: Graph,
  tolerance: number,
  batch = 2,
): Promise<number> {
  const computeOutput = async (graph: Graph): Promise<Float64Array> => {
    const results = await runOnce(engine, graph, buildRandomFeeds(graph, batch));
    const output = results[graph.outputs[0]?.name ?? ''];
    if (!output || !isFloat(output.dtype)) {
      throw new ShiboriError(
        `Comparing "${graph.name}": its first output is ${output?.dtype ?? 'missing'}, not float.`,
        { code: 'unsupported-model' },
      );
    }
    return Float64Array.from<number | bigint>(output.data, Number);
  };
  const [a, b] = [await computeOutput(before), await computeOutput(after)];
  let largest = 0;
  let difference = a.length === b.length ? 0 : Number.NaN;
  for (let i = 0; i < a.length; i++) {
    largest = Math.max(largest, Math.abs(a[i] ?? 0));
    difference = Math.max(difference, Math.abs((a[i] ?? 0) - (b[i] ?? Number.NaN)));
  }
  const share = difference === 0 ? 0 : difference / largest;
  if (share <= tolerance) return share;
  throw new ShiboriError(
    `Rewriting "${before.name}" changed what it computes: outputs differ by ${share.toExponential(1)} of their size, ` +
      `allowed is ${tolerance}. The graph was left as it was; please report this model.`,
    { code: 'unsupported-model' },
  );
}
