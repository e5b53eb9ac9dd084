import { ShiboriError } from '../errors.js';
import { formatDims } from '../graph/dims.js';
import type { Graph, Value } from '../graph/model.js';
import { evaluateNode } from '../kernels/evaluate-node.js';
import { listStridedPositions, move } from '../kernels/kernel.js';
import { readOp } from '../ops/table.js';
import { countElements } from '../tensor/dims.js';
import { type Tensor, zeros } from '../tensor/tensor.js';
import type { Engine, NamedTensors, Session } from './engine.js';
import { checkFeeds, checkOutputTargets } from './feeds.js';

/** Whether the tensor has the declared dtype and dimensions; symbols fit every size. */
function matchesType(value: Value, found: Tensor): boolean {
  const type = value.type;
  if (!type) return true;
  return (
    type.dtype === found.dtype &&
    type.dims.length === found.dims.length &&
    type.dims.every((dim, axis) => typeof dim === 'string' || dim === found.dims[axis])
  );
}

function runGraph(graph: Graph, feeds: NamedTensors): Map<Value, Tensor> {
  const known = new Map<Value, Tensor>(graph.initializers);
  for (const input of graph.inputs) {
    const feed = feeds[input.name];
    if (feed) known.set(input, feed);
  }
  for (const node of graph.nodes) {
    const inputs = node.inputs.map((input) => {
      const tensor = input && known.get(input);
      if (input && !tensor)
        throw new ShiboriError(`Node "${node.name}" (${node.op}) reads "${input.name}", which nothing makes.`, {
          code: 'engine-failed',
        });
      return tensor;
    });
    const results = evaluateNode(node, inputs);
    for (const [i, output] of node.outputs.entries()) {
      const result = results[i];
      if (!output || !result) continue;
      if (!matchesType(output, result)) {
        throw new ShiboriError(
          `Node "${node.name}" (${node.op}): output "${output.name}" is declared as ${output.type?.dtype} ${formatDims(output.type?.dims)} but was computed as ${result.dtype} ${formatDims(result.dims)}.`,
          { code: 'engine-failed' },
        );
      }
      known.set(output, result);
    }
  }
  return known;
}

/** A copy, so that no result shares memory with a feed or an initializer. */
function copyInto(source: Tensor, target: Tensor): Tensor {
  const every = listStridedPositions([countElements(source.dims)], [1]);
  move(source, every, target, every);
  return target;
}

/**
 * The slow, readable engine: every operator in double precision, rounded to its dtype when stored. It is the oracle
 * that the other engines are tested against, the engine of finite differences (ONNX Runtime has no convolution in
 * float64), and what folds constants. It computes in float32, float64, integers up to 2^53 and booleans.
 */
export function referenceEngine(): Engine {
  return {
    name: 'reference',
    async load(graph): Promise<Session> {
      for (const node of graph.nodes) readOp(node);
      return {
        async run(feeds, into = {}) {
          checkFeeds(graph, feeds);
          const known = runGraph(graph, feeds);
          const results: Record<string, Tensor> = {};
          for (const output of graph.outputs) {
            const result = known.get(output);
            if (!result)
              throw new ShiboriError(`Output "${output.name}" of graph "${graph.name}" is made by no node.`, {
                code: 'engine-failed',
              });
            results[output.name] = result;
          }
          checkOutputTargets(graph, into, results);
          for (const [name, result] of Object.entries(results)) {
            results[name] = copyInto(result, into[name] ?? zeros(result.dtype, result.dims));
          }
          return results;
        },
        async dispose() {},
        async [Symbol.asyncDispose]() {},
      };
    },
  };
}
