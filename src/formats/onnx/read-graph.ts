import { ShiboriError } from '../../errors.js';
import { type Attribute, type Graph, type Node, Value, type ValueType } from '../../graph/model.js';
import { sortTopologically } from '../../graph/order.js';
import type { Tensor } from '../../tensor/tensor.js';
import { decodeAttribute } from './attribute.js';
import type { GraphProto, NodeProto } from './proto.js';
import { Scope } from './scope.js';
import { decodeTensor, type TensorSource } from './tensor.js';
import { readValueType } from './value-info.js';

/** What the file around a graph says. */
export interface GraphSource extends TensorSource {
  /** An error that names the file. */
  readonly fail: (problem: string) => ShiboriError;
  /** Imported operator sets by domain. */
  readonly versions: ReadonlyMap<string, number>;
  /** The file's own functions, as `domain:name`. */
  readonly functions: ReadonlySet<string>;
}

export const OWN_DOMAIN = 'ai.onnx';

/** ONNX's own domain has two spellings, of which graphs have the empty one. */
export function normalizeDomain(domain = ''): string {
  return domain === OWN_DOMAIN ? '' : domain;
}

/** The graph that a message describes. `scope` is empty; it receives the graph's values. */
export function decodeGraph(proto: GraphProto, scope: Scope, source: GraphSource): Graph {
  return new GraphReader(proto, scope, source).read();
}

class GraphReader {
  readonly #name: string;

  constructor(
    readonly proto: GraphProto,
    readonly scope: Scope,
    readonly source: GraphSource,
  ) {
    this.#name = proto.name ?? '';
  }

  read(): Graph {
    const { proto } = this;
    const { fail } = this.source;
    if (proto.sparseInitializer) {
      throw fail(`graph "${this.#name}" holds sparse initializers, which are not supported. Export dense weights.`);
    }
    if (!proto.output) throw fail(`graph "${this.#name}" has no outputs.`);

    // All values first: nodes may come in any order, and graphs inside of nodes may read every one of them.
    const tensors = this.#tensors();
    const types = this.#types(tensors);
    const inputs = (proto.input ?? []).flatMap((info) =>
      tensors.has(info.name ?? '') ? [] : [this.#declare(info.name ?? '', readValueType(info, fail), 'an input')],
    );
    const initializers = new Map<Value, Tensor>();
    for (const [name, data] of tensors) {
      initializers.set(this.#declare(name, { dtype: data.dtype, dims: data.dims }, 'an initializer'), data);
    }
    const made = (proto.node ?? []).map((node, index) =>
      (node.output ?? []).map((name) =>
        name === ''
          ? undefined
          : this.#declare(name, types.get(name), `an output of ${describeNodeProto(node, index)}`),
      ),
    );

    const nodes = (proto.node ?? []).map((node, index) =>
      this.#node(node, describeNodeProto(node, index), made[index] ?? []),
    );
    const outputs = proto.output.map(({ name = '' }) => this.#find(name, `the list of outputs of "${this.#name}"`));
    return this.#sorted({ name: this.#name, inputs, outputs, nodes, initializers });
  }

  #tensors(): Map<string, Tensor> {
    const tensors = new Map<string, Tensor>();
    for (const initializer of this.proto.initializer ?? []) {
      const { name = '' } = initializer;
      if (tensors.has(name)) throw this.source.fail(`initializer "${name}" of graph "${this.#name}" appears twice.`);
      tensors.set(name, decodeTensor(initializer, `initializer "${name}"`, this.source));
    }
    return tensors;
  }

  /** Declared types of the values that nodes compute; an output's declaration as such wins. */
  #types(tensors: ReadonlyMap<string, Tensor>): Map<string, ValueType> {
    const types = new Map<string, ValueType>();
    for (const info of [...(this.proto.valueInfo ?? []), ...(this.proto.output ?? [])]) {
      const { name = '' } = info;
      const type = tensors.has(name) ? undefined : readValueType(info, this.source.fail);
      if (type) types.set(name, type);
    }
    return types;
  }

  #declare(name: string, type: ValueType | undefined, what: string): Value {
    const value = new Value(name, type);
    if (name === '') throw this.source.fail(`${what} of graph "${this.#name}" has no name.`);
    if (this.scope.declare(value)) return value;
    throw this.source.fail(`${what} is called "${name}", as is another value of graph "${this.#name}".`);
  }

  #find(name: string, reader: string): Value {
    const value = this.scope.find(name);
    if (value) return value;
    throw this.source.fail(
      `${reader} reads "${name}", which no node, input or initializer makes. The file is damaged or was cut from a larger graph.`,
    );
  }

  #node(proto: NodeProto, where: string, outputs: readonly (Value | undefined)[]): Node {
    const { fail, functions, versions } = this.source;
    const { opType: op = '', name = '' } = proto;
    const domain = normalizeDomain(proto.domain);
    if (op === '') throw fail(`${where} names no operator.`);
    if (functions.has(`${domain}:${op}`)) {
      throw fail(`${where} calls a function of the file, which is not supported. Export it with functions inlined.`);
    }
    if (!versions.has(domain)) {
      throw fail(`${where} is of the operator set "${domain || OWN_DOMAIN}", of which the file imports no version.`);
    }
    const inputs = (proto.input ?? []).map((input) => (input === '' ? undefined : this.#find(input, where)));
    return { op, domain, name, inputs, outputs, attributes: this.#attributes(proto, where) };
  }

  #attributes(proto: NodeProto, where: string): Node['attributes'] {
    const { source } = this;
    const attributes = new Map<string, Attribute>();
    for (const attribute of proto.attribute ?? []) {
      const { name = '' } = attribute;
      const what = `attribute "${name}" of ${where}`;
      if (attributes.has(name)) throw source.fail(`${what} appears twice.`);
      const value = decodeAttribute(attribute, {
        tensor: (tensor) => decodeTensor(tensor, what, source),
        graph: (graph) => decodeGraph(graph, new Scope(this.scope), source),
        fail: (problem) => source.fail(`${what}: ${problem}`),
      });
      attributes.set(name, value);
    }
    // Own properties even for a name such as "__proto__".
    return Object.fromEntries(attributes);
  }

  #sorted(graph: Graph): Graph {
    try {
      return { ...graph, nodes: sortTopologically(graph, this.scope.captured) };
    } catch (error) {
      throw error instanceof ShiboriError ? this.source.fail(error.message) : error;
    }
  }
}

/** `node 3 "conv1" (Conv)`. */
function describeNodeProto(node: NodeProto, index: number): string {
  return `node ${index} "${node.name ?? ''}" (${node.opType ?? 'no operator'})`;
}
