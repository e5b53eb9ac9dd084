import { describe, expect, it } from 'vitest';
import { runOnce } from '../../src/engine/engine.js';
import { referenceEngine } from '../../src/engine/reference.js';
import { type Attribute, type Model, type Node, Value } from '../../src/graph/model.js';
import { float32, int64, type Tensor } from '../../src/tensor/tensor.js';
import { upgraded } from '../support/upgraded.js';

type Attributes = Readonly<Record<string, Attribute>>;

const int = (value: number): Attribute => ({ type: 'int', value });
const ints = (...value: number[]): Attribute => ({ type: 'ints', value });
const text = (value: string): Attribute => ({ type: 'string', value });

/** A model of one node whose inputs after the first are initializers. */
function model(op: string, opset: number, attributes: Attributes, x: Tensor, extra: readonly Tensor[]): Model {
  const input = new Value('x', { dtype: x.dtype, dims: x.dims });
  const output = new Value('y', undefined);
  const more = extra.map((tensor, i) => [new Value(`p${i}`, tensor), tensor] as const);
  const inputs = [input, ...more.map(([value]) => value)];
  const node: Node = { op, domain: '', name: 'old', inputs, outputs: [output], attributes };
  const graph = { name: 'old', inputs: [input], outputs: [output], nodes: [node], initializers: new Map(more) };
  return { graph, opset, domains: {}, metadata: {} };
}

const run = async (old: Model, x: Tensor) => (await runOnce(referenceEngine(), upgraded(old, 'm.onnx'), { x })).y;

const x = float32(
  Array.from({ length: 24 }, (_, i) => i - 11.5),
  [2, 3, 4],
);
const channel = float32([0.5, 1, 2]);
const tall = float32([0.5, 1, 2], [3, 1]);
const statistics = [channel, channel, channel, channel];

interface Pair {
  readonly op: string;
  /** Operator set, attributes and further inputs, as they were. */
  readonly old: readonly [number, Attributes, readonly Tensor[]];
  /** Attributes and further inputs of the same in set 18. */
  readonly now: readonly [Attributes, readonly Tensor[]];
}

const pairs: Readonly<Record<string, Pair>> = {
  'Mul of 6 along axis 1': { op: 'Mul', old: [6, { broadcast: int(1), axis: int(1) }, [channel]], now: [{}, [tall]] },
  'Sub of 1 along axis -2': { op: 'Sub', old: [1, { broadcast: int(1), axis: int(-2) }, [channel]], now: [{}, [tall]] },
  'Add of 6 along the last axes': {
    op: 'Add',
    old: [6, { broadcast: int(1), consumed_inputs: ints(0, 0) }, [float32([1, 2, 3, 4])]],
    now: [{}, [float32([1, 2, 3, 4])]],
  },
  'PRelu of 6: a slope a channel': { op: 'PRelu', old: [6, {}, [channel]], now: [{}, [tall]] },
  'PRelu of 1: one slope': { op: 'PRelu', old: [1, {}, [float32([0.3])]], now: [{}, [float32([0.3])]] },
  'BatchNormalization of 5': {
    op: 'BatchNormalization',
    old: [5, { is_test: int(1), consumed_inputs: ints(0, 0, 0, 1, 1), spatial: int(1) }, statistics],
    now: [{}, statistics],
  },
  'Cast of 5': { op: 'Cast', old: [5, { to: text('INT32') }, []], now: [{ to: int(6) }, []] },
  'Cast of 1 to DOUBLE': { op: 'Cast', old: [1, { to: text('DOUBLE') }, []], now: [{ to: int(11) }, []] },
  'Reshape of 4': { op: 'Reshape', old: [4, { shape: ints(0, -1) }, []], now: [{}, [int64([0, -1])]] },
  'Concat of 3': { op: 'Concat', old: [3, {}, [x]], now: [{ axis: int(1) }, [x]] },
  'Pad of 1': {
    op: 'Pad',
    old: [1, { paddings: ints(0, 1, 0, 0, 0, 2) }, []],
    now: [{}, [int64([0, 1, 0, 0, 0, 2])]],
  },
};

describe('operator sets 1 to 6', () => {
  it.each(Object.entries(pairs))('%s means what it means in set 18', async (_, { op, old, now }) => {
    const [opset, attributes, extra] = old;
    const found = await run(model(op, opset, attributes, x, extra), x);
    expect(found).toEqual(await run(model(op, 18, now[0], x, now[1]), x));
  });

  it('Gemm of 6 broadcasts C', async () => {
    const matrix = float32([1, 2, 3, 4, 5, 6], [2, 3]);
    const extra = [float32([1, 0, 0, 1, 1, 1], [3, 2]), float32([10, 20])];
    const y = await run(model('Gemm', 6, { broadcast: int(1) }, matrix, extra), matrix);
    expect(y?.data).toEqual(Float32Array.of(14, 25, 20, 31));
  });

  it.each(['BatchNormalization', 'Dropout'])('refuses %s in training mode', (op) => {
    const extra = op === 'Dropout' ? [] : statistics;
    const training = model(op, 6, { is_test: int(0) }, x, extra);
    expect(() => upgraded(training, 'm.onnx')).toThrow(/"old" .*training mode.*evaluation mode/);
  });
});
