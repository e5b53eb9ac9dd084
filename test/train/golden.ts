import { readFileSync } from 'node:fs';
import type { Graph } from '../../src/graph/model.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { float32, type Tensor } from '../../src/tensor/tensor.js';

interface Numbers {
  readonly dims: readonly number[];
  readonly data: readonly number[];
}

/** A training by PyTorch: see golden/train/make.py. */
export interface GoldenTraining {
  readonly images: Numbers;
  readonly labels: readonly number[];
  readonly masks: readonly (readonly number[])[];
  readonly start: Readonly<Record<string, Numbers>>;
  readonly end: Readonly<Record<string, Numbers>>;
  readonly losses: readonly number[];
  readonly outputs: readonly number[];
}

export interface Golden {
  readonly adam: readonly {
    readonly options: Readonly<Record<string, number>>;
    readonly start: readonly number[];
    readonly gradients: readonly (readonly number[])[];
    readonly rates: readonly number[];
    readonly steps: readonly (readonly number[])[];
    readonly m: readonly number[];
    readonly v: readonly number[];
  }[];
  readonly optimizers: readonly {
    readonly name: string;
    readonly options: Readonly<Record<string, unknown>>;
    readonly start: readonly number[];
    readonly gradients: readonly (readonly number[])[];
    readonly rate: number;
    readonly steps: readonly (readonly number[])[];
  }[];
  readonly schedules: readonly {
    readonly name: string;
    readonly options: Readonly<Record<string, unknown>>;
    readonly learningRate: number | readonly [number, number];
    readonly warmUp: { readonly steps: number; readonly startFactor: number } | null;
    readonly rates: readonly number[];
  }[];
  readonly clipping: Readonly<
    Record<
      'norm' | 'within' | 'value',
      {
        readonly limit: number;
        readonly before: readonly (readonly number[])[];
        readonly after: readonly (readonly number[])[];
      }
    >
  >;
  readonly smoothing: {
    readonly smoothing: number;
    readonly scores: readonly number[];
    readonly labels: readonly number[];
    readonly loss: number;
    readonly gradient: readonly number[];
  };
  readonly averaging: readonly {
    readonly decay: number;
    readonly warmUp: boolean;
    readonly start: readonly number[];
    readonly weights: readonly (readonly number[])[];
    readonly averages: readonly (readonly number[])[];
  }[];
  readonly regularised: {
    readonly images: readonly number[];
    readonly labels: readonly number[];
    readonly start: Readonly<Record<string, Numbers>>;
    readonly end: Readonly<Record<string, Numbers>>;
    readonly losses: readonly number[];
  };
  readonly head: GoldenTraining;
  readonly convolutional: GoldenTraining;
}

export const golden: Golden = JSON.parse(
  readFileSync(new URL('../golden/train/training.json', import.meta.url), 'utf8'),
);

export const tensorOf = ({ dims, data }: Numbers): Tensor<'float32'> => float32(data, dims);

/** Names parameters of a golden model as initializers. */
function parameters(b: GraphBuilder, state: Readonly<Record<string, Numbers>>) {
  return (name: string) => b.initializer(name, tensorOf(state[name] ?? { dims: [0], data: [] }));
}

/** `head` of the golden script as an inference graph; its masks drop a quarter. */
export function headGraph(): Graph {
  const b = new GraphBuilder();
  const p = parameters(b, golden.head.start);
  let x = b.input('input', 'float32', ['N', 6]);
  x = b.op('Gemm', [x, p('0.weight'), p('0.bias')], { transB: 1 }, { name: '0' });
  x = b.op('Relu', [x], {}, { name: '1' });
  const norm = [p('2.weight'), p('2.bias'), p('2.running_mean'), p('2.running_var')];
  x = b.op('BatchNormalization', [x, ...norm], {}, { name: '2' });
  x = b.op('Dropout', [x, b.scalar(0.25)], {}, { name: '3' });
  x = b.op('Gemm', [x, p('4.weight'), p('4.bias')], { transB: 1 }, { name: '4' });
  b.output(b.op('LogSoftmax', [x], {}, { name: '5', outputName: 'output' }));
  return b.build('head');
}

/** `convolutional` of the golden script as an inference graph. */
export function convolutionalGraph(): Graph {
  const b = new GraphBuilder();
  const p = parameters(b, golden.convolutional.start);
  let x = b.input('input', 'float32', ['N', 2, 4, 4]);
  x = b.op('Conv', [x, p('0.weight')], { kernel_shape: [3, 3], pads: [1, 1, 1, 1] }, { name: '0' });
  const norm = [p('1.weight'), p('1.bias'), p('1.running_mean'), p('1.running_var')];
  x = b.op('BatchNormalization', [x, ...norm], { momentum: 0.7 }, { name: '1' });
  x = b.op('Relu', [x], {}, { name: '2' });
  x = b.op('MaxPool', [x], { kernel_shape: [2, 2], strides: [2, 2] }, { name: '3' });
  x = b.op('Flatten', [x], { axis: 1 }, { name: '4' });
  x = b.op('Gemm', [x, p('5.weight'), p('5.bias')], { transB: 1 }, { name: '5' });
  b.output(b.op('LogSoftmax', [x], {}, { name: '6', outputName: 'output' }));
  return b.build('convolutional');
}

/** The initializers of a graph by name. */
export function numbersOf(graph: Graph): Map<string, ArrayLike<number>> {
  return new Map([...graph.initializers].map(([{ name }, { data }]) => [name, Array.from(data, Number)]));
}
