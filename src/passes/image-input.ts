/*
 * Brings the one input of a classifier into the form that everything here works on: float32 images `[N, C, H, W]`. Files
 * of Keras and TensorFlow take `[N, H, W, C]`, and some take bytes: a Transpose and a Cast at the entry make up for it.
 * Works on graphs straight from a file, whose types are not inferred yet.
 */
import { ShiboriError } from '../errors.js';
import { formatDims } from '../graph/dims.js';
import { elementTypeOf } from '../graph/element-types.js';
import { type Attribute, type Dim, type Graph, type Node, Value } from '../graph/model.js';
import { usesOf } from '../graph/uses.js';
import type { DType } from '../tensor/dtype.js';
import { numberOf } from './node-attributes.js';

/** Order of the axes of images: `[N, C, H, W]` or `[N, H, W, C]`. */
export type ImageLayout = 'nchw' | 'nhwc';

/** What a file says about the images its model takes. */
export interface ImageInput {
  readonly value: Value;
  readonly layout: ImageLayout;
  readonly dtype: DType;
  readonly batch: Dim;
  readonly channels: Dim;
  readonly height: Dim;
  readonly width: Dim;
}

/** The types that a Cast at the entry may give. */
const castable: readonly DType[] = ['float64', 'uint8', 'int8', 'int32', 'int64'];

/** Channels that images have; what tells the layouts apart. */
const isChannels = (dim: Dim | undefined): boolean => dim === 1 || dim === 3;

/** The first node that does something with an input: not one that passes its images on. */
function firstUse(graph: Graph, input: Value): Node | undefined {
  const uses = usesOf(graph);
  let value: Value | undefined = input;
  for (;;) {
    const node: Node | undefined = value && uses.consumers(value)[0];
    if (!node || !['Identity', 'Cast', 'Sub', 'Mul', 'Div', 'Add', 'BatchNormalization', 'Pad'].includes(node.op))
      return node;
    value = node.outputs[0];
  }
}

/** `nhwc` where the sizes or the first node that reads the images say so. */
function layoutOf(graph: Graph, input: Value, dims: readonly Dim[]): ImageLayout {
  if (isChannels(dims[1]) && !isChannels(dims[3])) return 'nchw';
  if (isChannels(dims[3]) && !isChannels(dims[1])) return 'nhwc';
  const node = firstUse(graph, input);
  const perm = node?.op === 'Transpose' ? node.attributes.perm : undefined;
  return perm?.type === 'ints' && perm.value.join() === '0,3,1,2' ? 'nhwc' : 'nchw';
}

/** The channels that the first convolution reads, where it reads the input. */
function convolvedChannels(graph: Graph, input: Value): number | undefined {
  const node = firstUse(graph, input);
  const conv = node?.op === 'Transpose' && node.outputs[0] ? firstUse(graph, node.outputs[0]) : node;
  const weight = conv?.op === 'Conv' ? conv.inputs[1] : undefined;
  const perGroup = weight && graph.initializers.get(weight)?.dims[1];
  return perGroup && perGroup * (numberOf(conv?.attributes ?? {}, 'group') ?? 1);
}

/**
 * The images that a graph takes; `undefined` where its input is something else than images (of another rank).
 *
 * @param layout the order of the file's axes. Default: told from the sizes, else from the nodes.
 */
export function imageInputOf(graph: Graph, layout?: ImageLayout): ImageInput | undefined {
  const [value] = graph.inputs;
  const dims = value?.type?.dims ?? ['?', '?', '?', '?'];
  if (!value || dims.length !== 4) return undefined;
  const order = layout ?? layoutOf(graph, value, dims);
  const [batch = '?'] = dims;
  const [channels = '?', height = '?', width = '?'] =
    order === 'nchw' ? dims.slice(1) : [dims[3] ?? '?', dims[1] ?? '?', dims[2] ?? '?'];
  return {
    value,
    layout: order,
    dtype: value.type?.dtype ?? 'float32',
    batch,
    channels: typeof channels === 'number' ? channels : (convolvedChannels(graph, value) ?? channels),
    height,
    width,
  };
}

/** A node with another value in place of one, in the graphs inside of it too. */
function substituted(node: Node, from: Value, to: Value): Node {
  const swap = (value: Value | undefined) => (value === from ? to : value);
  const attributes = Object.entries(node.attributes).map(([name, attribute]): [string, Attribute] => {
    if (attribute.type !== 'graph') return [name, attribute];
    const { value: graph } = attribute;
    const inside: Graph = {
      ...graph,
      nodes: graph.nodes.map((inner) => substituted(inner, from, to)),
      outputs: graph.outputs.map((output) => (output === from ? to : output)),
    };
    return [name, { type: 'graph', value: inside }];
  });
  return { ...node, inputs: node.inputs.map(swap), attributes: Object.fromEntries(attributes) };
}

/**
 * The graph with float32 images `[dims]`, in the order batch, channels, height, width, as its input; the input keeps its
 * name. Half precision stays, which is widened in the whole graph or not at all.
 *
 * @throws ShiboriError for images of a type that is no number's.
 */
export function withImageInput(graph: Graph, { value, layout, dtype }: ImageInput, dims: readonly Dim[]): Graph {
  const keeps = dtype === 'float32' || dtype === 'float16' || dtype === 'bfloat16';
  if (!keeps && !castable.includes(dtype)) {
    throw new ShiboriError(
      `Input "${value.name}" takes ${dtype} elements ${formatDims(value.type?.dims)}: images are float32, float64, float16 or integers.`,
    );
  }
  const input = new Value(value.name, { dtype: keeps ? dtype : 'float32', dims });
  const entry: Node[] = [];
  let last = input;
  const add = (op: string, attributes: Node['attributes']) => {
    const output = new Value(`${value.name}/${op.toLowerCase()}`, undefined);
    entry.push({ op, domain: '', name: output.name, inputs: [last], outputs: [output], attributes });
    last = output;
  };
  if (layout === 'nhwc') add('Transpose', { perm: { type: 'ints', value: [0, 2, 3, 1] } });
  if (!keeps) add('Cast', { to: { type: 'int', value: elementTypeOf(dtype) } });
  return {
    ...graph,
    inputs: graph.inputs.map((other) => (other === value ? input : other)),
    outputs: graph.outputs.map((output) => (output === value ? last : output)),
    nodes: [...entry, ...graph.nodes.map((node) => substituted(node, value, last))],
  };
}
