import { describe, expect, it } from 'vitest';
import type { Dim, Graph, Value } from '../../src/graph/model.js';
import { GraphBuilder } from '../../src/ops/builder.js';
import { readImageInput } from '../../src/passes/image-input.js';
import { float32 } from '../../src/tensor/tensor.js';

/** A graph whose input of these dimensions is read in some way. */
function reading(dims: readonly Dim[], read: (b: GraphBuilder, x: Value) => Value): Graph {
  const b = new GraphBuilder();
  b.output(read(b, b.input('image', 'float32', dims)));
  return b.build('reading');
}

const weight = (b: GraphBuilder, dims: readonly number[], name = 'w') =>
  b.initializer(name, float32(Array<number>(dims.reduce((a, c) => a * c, 1)).fill(0.5), dims));

/** A convolution of so many channels. */
const conv = (b: GraphBuilder, x: Value, channels: number, kernel: readonly [number, number] = [1, 1]): Value =>
  b.op('Conv', [x, weight(b, [4, channels, ...kernel])], {});

const toChannelsFirst = (b: GraphBuilder, x: Value): Value => b.op('Transpose', [x], { perm: [0, 3, 1, 2] });

const cases: Readonly<Record<string, { readonly graph: Graph; readonly is: object }>> = {
  'a Conv that reads an input whose last axis is 1': {
    graph: reading(['N', 11, 60, 1], (b, x) => conv(b, x, 11, [3, 1])),
    is: { layout: 'nchw', layoutFrom: 'graph', channels: 11, height: 60, width: 1 },
  },
  'a Conv that reads an input whose last axis is 3': {
    graph: reading(['N', 8, 24, 3], (b, x) => conv(b, x, 8)),
    is: { layout: 'nchw', layoutFrom: 'graph', channels: 8, height: 24, width: 3 },
  },
  'a Transpose in front of the Conv, also where axis 1 is 3': {
    graph: reading(['N', 3, 24, 8], (b, x) => conv(b, toChannelsFirst(b, x), 8)),
    is: { layout: 'nhwc', layoutFrom: 'graph', channels: 8, height: 3, width: 24 },
  },
  'a Transpose there and back': {
    graph: reading(['N', 3, 8, 3], (b, x) =>
      conv(b, toChannelsFirst(b, b.op('Transpose', [x], { perm: [0, 2, 3, 1] })), 3),
    ),
    is: { layout: 'nchw', layoutFrom: 'graph', channels: 3, height: 8, width: 3 },
  },
  'Cast, Sub and Div in front of the Transpose': {
    graph: reading(['N', 6, 8, 2], (b, x) => {
      const mean = b.op('Sub', [b.op('Cast', [x], { to: 1 }), weight(b, [2], 'mean')]);
      return conv(b, toChannelsFirst(b, b.op('Div', [mean, weight(b, [1], 'std')])), 2);
    }),
    is: { layout: 'nhwc', layoutFrom: 'graph', channels: 2, height: 6, width: 8 },
  },
  'a Reshape that puts the one channel of [N, H, W, 1] in front': {
    graph: reading(['N', 28, 20, 1], (b, x) => conv(b, b.op('Reshape', [x, b.ints([-1, 1, 28, 20])]), 1)),
    is: { layout: 'nhwc', layoutFrom: 'graph', channels: 1, height: 28, width: 20 },
  },
  'a Squeeze and an Unsqueeze that do the same': {
    graph: reading(['N', 28, 20, 1], (b, x) =>
      conv(b, b.op('Unsqueeze', [b.op('Squeeze', [x, b.ints([3])]), b.ints([1])]), 1),
    ),
    is: { layout: 'nhwc', layoutFrom: 'graph', channels: 1, height: 28, width: 20 },
  },
  'a Reshape to the dimensions it has': {
    graph: reading(['N', 11, 60, 1], (b, x) => conv(b, b.op('Reshape', [x, b.ints([0, 11, 60, 1])]), 11)),
    is: { layout: 'nchw', layoutFrom: 'graph', channels: 11 },
  },
  'channels that a Gather puts in another order in front of the Transpose': {
    graph: reading(['N', 3, 8, 3], (b, x) =>
      conv(b, toChannelsFirst(b, b.op('Gather', [x, b.ints([2, 1, 0])], { axis: 3 })), 3),
    ),
    is: { layout: 'nhwc', layoutFrom: 'graph', channels: 3, height: 3, width: 8 },
  },
  'a Pad and a MaxPool': {
    graph: reading(['N', 3, 8, 3], (b, x) =>
      b.op('MaxPool', [b.op('Pad', [x, b.ints([0, 0, 1, 1, 0, 0, 1, 1])])], { kernel_shape: [2, 2] }),
    ),
    is: { layout: 'nchw', layoutFrom: 'graph', channels: 3, height: 8, width: 3 },
  },
  'a matrix product with the last axis': {
    graph: reading(['N', 3, 8, 3], (b, x) => b.op('MatMul', [x, weight(b, [3, 16])])),
    is: { layout: 'nhwc', layoutFrom: 'graph', channels: 3, height: 3, width: 8 },
  },
  'a mean over height and width': {
    graph: reading(['N', 3, 8, 3], (b, x) => b.op('ReduceMean', [x, b.ints([1, 2])], { keepdims: 0 })),
    is: { layout: 'nhwc', layoutFrom: 'graph', channels: 3 },
  },
  'a mean of one number a channel that is subtracted, and nothing else': {
    graph: reading(['N', 3, 8, 3], (b, x) =>
      b.op('Reshape', [b.op('Sub', [x, weight(b, [3, 1, 1])]), b.ints([0, 72])]),
    ),
    is: { layout: 'nchw', layoutFrom: 'graph', channels: 3 },
  },
  'open axes, of which the weights tell the number of channels': {
    graph: reading(['N', '?', '?', '?'], (b, x) => conv(b, toChannelsFirst(b, x), 4)),
    is: { layout: 'nhwc', layoutFrom: 'graph', channels: 4 },
  },
};

describe('The layout of an image input', () => {
  for (const [name, { graph, is }] of Object.entries(cases)) {
    it(`is read from ${name}`, () => {
      expect(readImageInput(graph)).toMatchObject(is);
    });
  }

  const flat = (dims: readonly Dim[]) => reading(dims, (b, x) => b.op('Flatten', [x], { axis: 1 }));

  it('is guessed from the sizes where no node shows it, and this is reported', () => {
    expect(readImageInput(flat(['N', 28, 28, 1]))).toMatchObject({ layout: 'nhwc', layoutFrom: 'sizes', channels: 1 });
    expect(readImageInput(flat(['N', 3, 8, 8]))).toMatchObject({ layout: 'nchw', layoutFrom: 'sizes', channels: 3 });
    expect(readImageInput(flat(['N', 3, 8, 3]))).toMatchObject({ layout: 'nchw', layoutFrom: 'sizes' });
  });

  it('is what an option says, whatever the nodes show', () => {
    const graph = reading(['N', 11, 60, 1], (b, x) => conv(b, x, 11, [3, 1]));
    expect(readImageInput(graph, 'nhwc')).toMatchObject({ layout: 'nhwc', layoutFrom: 'option', channels: 1 });
  });

  it('counts no channels behind a node that takes parts of the images', () => {
    // Every second row beside the others, as YOLO's first layer: 6 channels for the Conv are 3 of the images.
    const graph = reading(['N', '?', '?', '?'], (b, x) => {
      const half = (start: number) => b.op('Slice', [x, b.ints([start]), b.ints([9999]), b.ints([2]), b.ints([2])]);
      return conv(b, b.op('Concat', [half(0), half(1)], { axis: 1 }), 6);
    });
    expect(readImageInput(graph)).toMatchObject({ layout: 'nchw', layoutFrom: 'graph', channels: '?' });
  });
});
