import { ShiboriError } from '../errors.js';
import { isStatic } from '../graph/dims.js';
import type { Dim, Graph, Node, Value, ValueType } from '../graph/model.js';
import { Value as GraphValue } from '../graph/model.js';
import { CONSTANT_PREFIX, isParameter } from '../graph/parameters.js';
import { listReads } from '../graph/reads.js';
import type { DType } from '../tensor/dtype.js';
import { float32, int64, type Tensor, tensor } from '../tensor/tensor.js';
import { type Contents, inferContents, makeContentsTensor, readTensorContents } from './contents.js';
import type { KnownInputs } from './spec.js';
import { type AttributeValues, encodeAttributes, inferTypes, type Op } from './table.js';

/** What a new node may be given besides its inputs and attributes. */
export interface NodeOptions {
  /** Name of the node; Default: the scope that `within` gives, or else the operator; made unique. */
  readonly name?: string;
  /** How many outputs the node has. Default: 1. */
  readonly outputs?: number;
  /** Name of the first output. Default: derived from the node's name. */
  readonly outputName?: string;
}

/**
 * Builds a graph node by node, inferring types as it goes. It is the one authority that gives names.
 *
 * @example
 * const b = new GraphBuilder();
 * const x = b.input('input', 'float32', ['N', 4]);
 * const w = b.initializer('fc.weight', float32([1, 2, 3, 4], [1, 4]));
 * b.output(b.op('Gemm', [x, w], { transB: 1 }, { name: 'fc', outputName: 'output' }));
 * const graph = b.build('tiny');
 */
export class GraphBuilder {
  /** Name of the nodes that get none: the module path that is being built. */
  #scope = '';
  readonly #inputs: Value[] = [];
  readonly #outputs: Value[] = [];
  readonly #nodes: Node[] = [];
  readonly #initializers = new Map<Value, Tensor>();
  readonly #contents = new Map<Value, Contents>();
  // ONNX keeps the names of nodes and of values apart: a node may be called as its output is.
  readonly #valueNames = new Map<string, number>();
  readonly #nodeNames = new Map<string, number>();
  readonly #reserved = new Set<string>();
  readonly #scalars = new Map<string, Value>();

  /** The nodes added so far, in order. */
  get nodes(): readonly Node[] {
    return this.#nodes;
  }

  /**
   * Builds a part of the graph whose nodes are called `scope` where they get no name of their own.
   *
   * @example
   * ```ts
   * const b = new GraphBuilder();
   * const x = b.input('x', 'float32', ['N', 4]);
   * const y = b.within('head.0', () => b.op('Relu', [x]));
   * y.name.startsWith('head.0'); // true
   * ```
   */
  within<T>(scope: string, build: () => T): T {
    const outer = this.#scope;
    this.#scope = scope;
    try {
      return build();
    } finally {
      this.#scope = outer;
    }
  }

  /** Declares what a caller feeds. */
  input(name: string, dtype: DType, dims: readonly Dim[]): Value {
    const value = new GraphValue(makeUniqueName(this.#valueNames, name), { dtype, dims });
    this.#inputs.push(value);
    return value;
  }

  /** Keeps a name for the output that will be given it by `outputName`: no name that is derived becomes this one. */
  reserve(name: string): void {
    if (this.#valueNames.has(name)) return;
    this.#valueNames.set(name, 0);
    this.#reserved.add(name);
  }

  /** A named parameter or constant with its tensor. */
  initializer(name: string, data: Tensor): Value {
    const value = new GraphValue(makeUniqueName(this.#valueNames, name), { dtype: data.dtype, dims: data.dims });
    this.#initializers.set(value, data);
    return value;
  }

  /** A scalar constant; equal ones are shared. Default type: float32. */
  scalar(number: number, dtype: 'float32' | 'float64' | 'int64' = 'float32'): Value {
    const key = `${dtype}:${Object.is(number, -0) ? '-0' : number}`;
    let value = this.#scalars.get(key);
    if (!value) {
      const data =
        dtype === 'int64'
          ? int64([number], [])
          : dtype === 'float64'
            ? tensor('float64', [], Float64Array.of(number))
            : float32([number], []);
      value = this.initializer(`constant/${number}`, data);
      this.#scalars.set(key, value);
    }
    return value;
  }

  /** A list of integers as an int64 initializer (shapes, axes, pads). */
  ints(values: readonly number[]): Value {
    const key = `ints:${values.join(',')}`;
    let value = this.#scalars.get(key);
    if (!value) {
      value = this.initializer('constant/ints', int64(values));
      this.#scalars.set(key, value);
    }
    return value;
  }

  /** The tensor of a value, where it is an initializer of this graph. */
  findTensor(value: Value): Tensor | undefined {
    return this.#initializers.get(value);
  }

  /**
   * The elements of a small vector or scalar that are known before running, as numbers and symbols: an initializer that
   * is no parameter, or what a node computes from shapes.
   */
  findContents(value: Value): Contents | undefined {
    const computed = this.#contents.get(value);
    const tensor = this.#initializers.get(value);
    return computed ?? (tensor && readTensorContents(value, tensor));
  }

  /** Adds a node and returns all its outputs. */
  node<K extends Op>(
    op: K,
    inputs: readonly (Value | undefined)[],
    attributes: AttributeValues<K> = {},
    options: NodeOptions = {},
  ): Value[] {
    const name = options.name ?? (this.#scope === '' ? op : this.#scope);
    const outputs = Array.from({ length: options.outputs ?? 1 }, (_, i) => (i === 0 ? options.outputName : undefined));
    return this.#add(op, '', name, inputs, encodeAttributes(op, attributes), outputs).map((value) => {
      if (value) return value;
      throw new ShiboriError(`Node "${name}" (${op}) has no such output.`, { code: 'invalid-graph' });
    });
  }

  /** Adds a node and returns its only (or first) output. */
  op<K extends Op>(
    op: K,
    inputs: readonly (Value | undefined)[],
    attributes: AttributeValues<K> = {},
    options: NodeOptions = {},
  ): Value {
    const [first] = this.node(op, inputs, attributes, options);
    if (!first) throw new ShiboriError(`${op} has no output.`, { code: 'invalid-graph' });
    return first;
  }

  /** Copies a node of another graph onto new inputs; its outputs keep their names where these are free. */
  copy(node: Node, inputs: readonly (Value | undefined)[]): (Value | undefined)[] {
    const outputs = node.outputs.map((output) => output?.name ?? null);
    return this.#add(node.op, node.domain, node.name, inputs, node.attributes, outputs);
  }

  /**
   * The outputs of a node as constants, where what the node computes is known before running (shapes, and what is
   * computed from them); `undefined` where it is not, and the node is to be copied.
   */
  foldKnownOutputs(node: Node, inputs: readonly (Value | undefined)[]): (Value | undefined)[] | undefined {
    const draft = { ...node, inputs: trimInputs(inputs) };
    const contents = inferContents(draft, this.#contentsAt(draft));
    if (!contents.some((known) => known && isStatic(known))) return undefined;
    const types = inferTypes(draft, this.#knownInputs(draft));
    const tensors = node.outputs.map((_, i) => {
      const [type, known] = [types[i], contents[i]];
      return type && known && makeContentsTensor(type, known);
    });
    if (node.outputs.some((output, i) => output && !tensors[i])) return undefined;
    return tensors.map((tensor, i) => tensor && this.initializer(`${CONSTANT_PREFIX}${node.outputs[i]?.name}`, tensor));
  }

  /** Declares a result of the graph. */
  output(value: Value): void {
    this.#outputs.push(value);
  }

  /** The finished graph, without the constants that nothing reads. */
  build(name: string): Graph {
    const read = new Set<Value>(this.#outputs);
    for (const node of this.#nodes) for (const value of listReads(node)) read.add(value);
    const kept = [...this.#initializers].filter(([value, tensor]) => read.has(value) || isParameter(value, tensor));
    return {
      name,
      inputs: [...this.#inputs],
      outputs: [...this.#outputs],
      nodes: [...this.#nodes],
      initializers: new Map(kept),
    };
  }

  #contentsAt(node: Node): (index: number) => Contents | undefined {
    return (index) => {
      const input = node.inputs[index];
      return input && this.findContents(input);
    };
  }

  #knownInputs(node: Node): KnownInputs {
    return {
      tensor: (index) => {
        const input = node.inputs[index];
        return input && this.#initializers.get(input);
      },
      contents: this.#contentsAt(node),
    };
  }

  /** `outputs`: a name, `undefined` for a derived name, `null` for an output that is left out. */
  #add(
    op: string,
    domain: string,
    name: string,
    inputs: readonly (Value | undefined)[],
    attributes: Node['attributes'],
    outputs: readonly (string | undefined | null)[],
  ): (Value | undefined)[] {
    const nodeName = makeUniqueName(this.#nodeNames, name);
    const draft: Node = { op, domain, name: nodeName, inputs: trimInputs(inputs), outputs: [], attributes };
    const types = inferTypes(draft, this.#knownInputs(draft));
    const values = outputs.map((output, i) => {
      if (output === null) return undefined;
      const type: ValueType | undefined = types[i];
      if (!type)
        throw new ShiboriError(`Node "${nodeName}" (${op}) has ${types.length} outputs, asked for ${i + 1}.`, {
          code: 'invalid-graph',
        });
      const own = output !== undefined && this.#reserved.delete(output) ? output : undefined;
      return new GraphValue(own ?? makeUniqueName(this.#valueNames, output ?? `${nodeName}:${i}`), type);
    });
    for (const [i, known] of inferContents(draft, this.#contentsAt(draft)).entries()) {
      const value = values[i];
      if (value && known) this.#contents.set(value, known);
    }
    this.#nodes.push({ ...draft, outputs: values });
    return values;
  }
}

/** Optional inputs left out at the end are not written at all. */
function trimInputs(inputs: readonly (Value | undefined)[]): (Value | undefined)[] {
  let end = inputs.length;
  while (end > 0 && inputs[end - 1] === undefined) end--;
  return inputs.slice(0, end);
}

/** A name that is not taken yet: `base`, or `base/1`, `base/2`, … `taken` remembers how far each base was counted. */
function makeUniqueName(taken: Map<string, number>, base: string): string {
  let count = taken.get(base);
  if (count === undefined) {
    taken.set(base, 0);
    return base;
  }
  let name: string;
  do name = `${base}/${++count}`;
  while (taken.has(name));
  taken.set(base, count);
  taken.set(name, 0);
  return name;
}
