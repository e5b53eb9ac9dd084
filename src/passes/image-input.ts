/*
 * Brings the one input of a classifier into the form that everything here works on: float32 images `[N, C, H, W]`. Files
 * of Keras and TensorFlow take `[N, H, W, C]`, and some take bytes: a Transpose and a Cast at the entry make up for it.
 * Works on graphs straight from a file, whose types are not inferred yet.
 */
import { ShiboriError } from '../errors.js';
import { formatDims } from '../graph/dims.js';
import { getElementTypeNumber } from '../graph/element-types.js';
import { type Attribute, type Dim, type Graph, type Node, Value } from '../graph/model.js';
import type { DType } from '../tensor/dtype.js';
import { traceChannels } from './image-layout.js';
import type { PassResult } from './pass.js';

/** Order of the axes of images: `[N, C, H, W]` or `[N, H, W, C]`. */
export type ImageLayout = 'nchw' | 'nhwc';

/** What is known of the images that a file's model takes. */
export interface ImageInput {
  readonly value: Value;
  readonly layout: ImageLayout;
  /** What says it: an option, the nodes that read the input, or its sizes, which is a guess. */
  readonly layoutFrom: 'option' | 'graph' | 'sizes';
  readonly dtype: DType;
  readonly batch: Dim;
  readonly channels: Dim;
  readonly height: Dim;
  readonly width: Dim;
}

/** The types that a Cast at the entry may give. */
const castableTypes: readonly DType[] = ['float64', 'uint8', 'int8', 'int32', 'int64'];

/** Channels that images usually have: what tells the layouts apart where the nodes do not. */
const isChannels = (dim: Dim | undefined): boolean => dim === 1 || dim === 3;

/** Guesses the layout from the sizes alone. */
function guessLayout(dims: readonly Dim[]): ImageLayout {
  return isChannels(dims[3]) && !isChannels(dims[1]) ? 'nhwc' : 'nchw';
}

/** The input axis of the channels in each layout. */
const channelAxisByLayout: Readonly<Record<ImageLayout, number>> = { nchw: 1, nhwc: 3 };

/**
 * Reads what images a graph takes; `undefined` where its input is something else than images (of another rank).
 *
 * @param layout the order of the file's axes. Default: what the nodes do with the input; where they do not show it, its
 *   sizes decide.
 */
export function readImageInput(graph: Graph, layout?: ImageLayout): ImageInput | undefined {
  const [value] = graph.inputs;
  const dims = value?.type?.dims ?? ['?', '?', '?', '?'];
  if (!value || dims.length !== 4) return undefined;
  const traced = traceChannels(graph, value, dims);
  const shown = traced?.axis === 1 ? 'nchw' : traced?.axis === 3 ? 'nhwc' : undefined;
  const order = layout ?? shown ?? guessLayout(dims);
  const [batch = '?'] = dims;
  const [channels = '?', height = '?', width = '?'] =
    order === 'nchw' ? dims.slice(1) : [dims[3] ?? '?', dims[1] ?? '?', dims[2] ?? '?'];
  const counted = traced?.axis === channelAxisByLayout[order] ? traced.count : undefined;
  return {
    value,
    layout: order,
    layoutFrom: layout ? 'option' : shown ? 'graph' : 'sizes',
    dtype: value.type?.dtype ?? 'float32',
    batch,
    channels: typeof channels === 'number' ? channels : (counted ?? channels),
    height,
    width,
  };
}

/** A node with another value in place of one, in the graphs inside of it too. */
function substituteValue(node: Node, from: Value, to: Value): Node {
  const swap = (value: Value | undefined) => (value === from ? to : value);
  const attributes = Object.entries(node.attributes).map(([name, attribute]): [string, Attribute] => {
    if (attribute.type !== 'graph') return [name, attribute];
    const { value: graph } = attribute;
    const inside: Graph = {
      ...graph,
      nodes: graph.nodes.map((inner) => substituteValue(inner, from, to)),
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
export function withImageInput(graph: Graph, { value, layout, dtype }: ImageInput, dims: readonly Dim[]): PassResult {
  const keeps = dtype === 'float32' || dtype === 'float16' || dtype === 'bfloat16';
  if (!keeps && !castableTypes.includes(dtype)) {
    throw new ShiboriError(
      `Input "${value.name}" takes ${dtype} elements ${formatDims(value.type?.dims)}: images are float32, float64, float16 or integers.`,
      { code: 'unsupported-model' },
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
  if (!keeps) add('Cast', { to: { type: 'int', value: getElementTypeNumber(dtype) } });
  const taking: Graph = {
    ...graph,
    inputs: graph.inputs.map((other) => (other === value ? input : other)),
    outputs: graph.outputs.map((output) => (output === value ? last : output)),
    nodes: [...entry, ...graph.nodes.map((node) => substituteValue(node, value, last))],
  };
  return { graph: taking, notes: [] };
}
