import { ShiboriError } from '../../errors.js';
import { type Graph, type Model, type Node, OPSET, type Value } from '../../graph/model.js';
import { countTensorBytes, getTensorBytes, type Tensor } from '../../tensor/tensor.js';
import { encodeAttributeProto } from './attribute.js';
import { type ExternalLocation, findLocationProblem } from './external.js';
import { encodeMessage } from './message.js';
import { type GraphProto, modelFields, type NodeProto } from './proto.js';
import { Scope } from './scope.js';
import { encodeTensorProto } from './tensor.js';
import { encodeValueInfoProto } from './value-info.js';
import { concatenate } from './wire-writer.js';

/** Readers refuse messages of 2 GiB and more. */
const MAX_ONNX_BYTES = 2 ** 31 - 1;
/** Initializers up to this size stay in the model file, which then can be looked at without its data file. */
const MAX_INLINE_BYTES = 1024;
/** Tensors start at multiples of a cache line, which is a multiple of every element size: they can be read in place. */
const TENSOR_ALIGNMENT = 64;

/** Decides for an initializer whether its elements are stored outside of the model file. */
type Placement = (data: Tensor) => ExternalLocation | undefined;

/**
 * The model as an ONNX file in pieces, to be written one after the other: weights are the tensors' own memory, not
 * copies. The same model always gives the same bytes.
 *
 * @throws ShiboriError when the file would be 2 GiB or larger, or two values that are read have the same name.
 */
export function writeOnnxChunks(model: Model): Uint8Array[] {
  return encodeOnnxModel(model, () => undefined);
}

/** The model as an ONNX file. See `writeOnnxChunks`. */
export function writeOnnx(model: Model): Uint8Array {
  return concatenate(writeOnnxChunks(model));
}

/** A graph alone as an ONNX file, for an engine. Default operator set: the one that graphs here are written in. */
export function writeGraph(graph: Graph, about: Partial<Omit<Model, 'graph'>> = {}): Uint8Array {
  return writeOnnx({ opset: OPSET, domains: {}, metadata: {}, ...about, graph });
}

/**
 * Writes an ONNX file and a data file next to it that holds the initializers above 1 KB, both in pieces.
 *
 * @param dataFileName the data file's path relative to the model's folder.
 */
export function writeOnnxExternal(model: Model, dataFileName: string): { model: Uint8Array[]; data: Uint8Array[] } {
  const problem = findLocationProblem(dataFileName);
  if (problem) {
    throw new ShiboriError(`Cannot write weights to "${dataFileName}": the path ${problem}. Give a file name.`, {
      code: 'invalid-file',
    });
  }
  const data: Uint8Array[] = [];
  let offset = 0;
  const chunks = encodeOnnxModel(model, (tensor) => {
    const length = countTensorBytes(tensor);
    if (length <= MAX_INLINE_BYTES) return undefined;
    const padding = (TENSOR_ALIGNMENT - (offset % TENSOR_ALIGNMENT)) % TENSOR_ALIGNMENT;
    if (padding > 0) data.push(new Uint8Array(padding));
    data.push(getTensorBytes(tensor));
    const start = offset + padding;
    offset = start + length;
    return { location: dataFileName, offset: start, length };
  });
  return { model: chunks, data };
}

/** The file format's version that came with an operator set. 8 reads everywhere and covers all that graphs here hold. */
function getIrVersion(opset: number): number {
  return irVersions.find(([newest]) => opset <= newest)?.[1] ?? NEWEST_IR_VERSION;
}

/** Up to which operator set each version of the file format was the newest. */
const irVersions: readonly (readonly [opset: number, irVersion: number])[] = [
  [18, 8],
  [20, 9],
  [22, 10],
  [23, 11],
  [24, 12],
];
const NEWEST_IR_VERSION = 13;

const docTextEncoder = new TextEncoder();

function encodeOnnxModel(model: Model, place: Placement): Uint8Array[] {
  const { docString, graphDocString, ...fields } = model.about ?? {};
  const domains = Object.entries({ '': model.opset, ...model.domains });
  const writer = encodeMessage(modelFields, {
    irVersion: getIrVersion(model.opset),
    producerName: 'shibori',
    ...fields,
    ...(docString === undefined ? {} : { docString: docTextEncoder.encode(docString) }),
    graph: {
      ...encodeGraphProto(model.graph, new Scope(), place),
      ...(graphDocString === undefined ? {} : { docString: docTextEncoder.encode(graphDocString) }),
    },
    opsetImport: domains.map(([domain, version]) => ({ domain, version })),
    metadataProps: Object.entries(model.metadata).map(([key, value]) => ({ key, value })),
  });
  if (writer.size > MAX_ONNX_BYTES) {
    throw new ShiboriError(
      `The model takes ${writer.size} bytes, more than the 2 GiB that an ONNX file can hold. Save its weights in a file next to it.`,
      { code: 'invalid-file' },
    );
  }
  return writer.chunks();
}

function encodeGraphProto(graph: Graph, scope: Scope, place: Placement): GraphProto {
  const declare = (value: Value): void => {
    if (value.name === '')
      throw new ShiboriError(`Cannot write graph "${graph.name}": a value has no name.`, { code: 'invalid-file' });
    if (!scope.declare(value)) {
      throw new ShiboriError(`Cannot write graph "${graph.name}": two values are called "${value.name}". Rename one.`, {
        code: 'invalid-file',
      });
    }
  };
  for (const input of graph.inputs) declare(input);
  for (const value of graph.initializers.keys()) declare(value);
  const computed: Value[] = [];
  for (const node of graph.nodes) {
    for (const output of node.outputs) {
      if (!output) continue;
      declare(output);
      computed.push(output);
    }
  }
  const getName = (value: Value, reader: string): string => {
    if (scope.find(value.name) === value) return value.name;
    throw new ShiboriError(
      `Cannot write graph "${graph.name}": ${reader} reads the value "${value.name}", which is not part of it (another one may have its name).`,
      { code: 'invalid-file' },
    );
  };
  const outputs = new Set(graph.outputs);
  for (const output of outputs) getName(output, 'its list of outputs');
  return {
    node: graph.nodes.map((node) => encodeNodeProto(node, getName, scope, place)),
    name: graph.name,
    initializer: Array.from(graph.initializers, ([value, data]) => encodeTensorProto(data, value.name, place(data))),
    input: graph.inputs.map(encodeValueInfoProto),
    output: graph.outputs.map(encodeValueInfoProto),
    valueInfo: computed.filter((value) => value.type && !outputs.has(value)).map(encodeValueInfoProto),
  };
}

function encodeNodeProto(
  node: Node,
  getName: (value: Value, reader: string) => string,
  scope: Scope,
  place: Placement,
): NodeProto {
  const reader = `node "${node.name}" (${node.op})`;
  const inner = (graph: Graph) => encodeGraphProto(graph, new Scope(scope), place);
  return {
    input: node.inputs.map((input) => (input ? getName(input, reader) : '')),
    output: node.outputs.map((output) => output?.name ?? ''),
    name: node.name,
    opType: node.op,
    attribute: Object.entries(node.attributes).map(([name, attribute]) => encodeAttributeProto(name, attribute, inner)),
    domain: node.domain,
  };
}
