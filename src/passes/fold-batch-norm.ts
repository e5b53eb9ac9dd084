/*
 * In inference a batch norm is y = a x + s for each channel, a = scale / √(variance + ε), s = bias − a mean.
 *   downstream of a Conv or Gemm:   W' = diag(a) W,  b' = a b + s
 *   upstream of a Gemm or Conv:     W' = W diag(a),  b' = b + W s    (a Conv that pads sees 0, not s, beyond the edge)
 */
import type { Graph, Node, Value } from '../graph/model.js';
import { getModulePath } from '../graph/module-path.js';
import { findUses, listNodesFor, type Uses } from '../graph/uses.js';
import { float32, type Tensor } from '../tensor/tensor.js';
import { type FoldTarget, foldIntoDownstream, foldIntoUpstream, readFoldTarget } from './fold-target.js';
import type { Note, PassResult } from './pass.js';
import { type BatchNorm, type ChannelAffine, readBatchNorm, readChannelAffine } from './recognisers/batch-norm.js';
import { type Replacement, rewrite } from './rewrite.js';

/** Pass values on unchanged in inference. */
const passThroughOperators: ReadonlySet<string> = new Set(['Identity', 'Dropout']);

/**
 * Folds every batch norm of an inference graph into the Conv or Gemm upstream, or else downstream, where that is exact.
 * The new weights are float32 of float64 arithmetic. All folds are collected, and the graph is rewritten once.
 */
export function foldBatchNorms(graph: Graph): PassResult {
  return new BatchNormFolder(graph).fold();
}

class BatchNormFolder {
  readonly #nodes: readonly Node[];
  readonly #uses: Uses;
  readonly #outputs: ReadonlySet<Value>;
  /** The targets of folds, with the parameters that they have by now, in the order of their first fold. */
  readonly #targets = new Map<Node, FoldTarget>();
  /** The outputs of the folded batch norms, and what takes their place. */
  readonly #folded = new Map<Value, Value>();
  readonly #notes = new Map<Node, Note>();

  constructor(readonly graph: Graph) {
    // What nothing needs is dropped by the rewrite, and must not keep a batch norm where it is.
    this.#nodes = listNodesFor(graph, graph.outputs);
    this.#uses = findUses(this.#nodes.length === graph.nodes.length ? graph : { ...graph, nodes: this.#nodes });
    this.#outputs = new Set(graph.outputs);
  }

  fold(): PassResult {
    // A batch norm may be folded once a neighbour is: neighbours of what one round folds are tried again in the next.
    let round: readonly Node[] = this.#nodes.filter(({ op }) => op === 'BatchNormalization');
    const order = new Map(round.map((node, i) => [node, i]));
    while (round.length > 0) {
      const neighbours = new Set<Node>();
      for (const node of round) {
        const note = this.#tryFold(node);
        this.#notes.set(node, note);
        if (note.applied) for (const other of this.#listUnfoldedNeighbours(node)) neighbours.add(other);
      }
      round = [...neighbours]
        .filter((node) => !this.#isFolded(node))
        .sort((a, b) => (order.get(a) as number) - (order.get(b) as number));
    }
    const notes = [...this.#notes.values()];
    return { graph: this.#folded.size === 0 ? this.graph : this.#rewrite(), notes };
  }

  #isFolded({ outputs: [output] }: Node): boolean {
    return output !== undefined && this.#folded.has(output);
  }

  /** Returns the value that a folded batch norm's output has become: what its target computes. */
  #resolve(value: Value): Value {
    return this.#outputs.has(value) ? value : (this.#folded.get(value) ?? value);
  }

  /** Finds the only node that reads a value, looking through what passes it on; `undefined` for several, or an output. */
  #findOnlyReader(value: Value): Node | undefined {
    let current: Value | undefined = value;
    for (;;) {
      if (!current || this.#outputs.has(current)) return undefined;
      const [reader, second] = this.#uses.consumers(current);
      if (!reader || second) return undefined;
      if (!passThroughOperators.has(reader.op) && !this.#isFolded(reader)) {
        return reader.inputs[0] === current ? reader : undefined;
      }
      current = reader.outputs[0];
    }
  }

  /** Lists the batch norms next to a folded one, which see another neighbour now. */
  #listUnfoldedNeighbours(node: Node): Node[] {
    const [x] = node.inputs;
    const upstream: Node[] = [];
    for (let value = x; value; ) {
      const producer = this.#uses.producer(value);
      if (producer?.op === 'BatchNormalization' && !this.#isFolded(producer)) upstream.push(producer);
      value = producer && passThroughOperators.has(producer.op) ? producer.inputs[0] : undefined;
    }
    const [output] = node.outputs;
    const downstream = output ? this.#uses.consumers(output).filter(({ op }) => op === 'BatchNormalization') : [];
    return [...upstream, ...downstream.filter((other) => !this.#isFolded(other))];
  }

  #readTarget(node: Node | undefined): FoldTarget | string {
    return (node && this.#targets.get(node)) ?? readFoldTarget(this.graph, node);
  }

  #tryFold(node: Node): Note {
    const report = (applied: boolean, text: string): Note => ({ node: node.name, applied, text });
    const norm = readBatchNorm(node);
    const affine = norm && readChannelAffine(this.graph, norm);
    if (!affine) return report(false, 'its statistics are not constants, or those of the batch');
    const x = this.#resolve(norm.x);
    const upstream = this.#readTarget(this.#uses.producer(x));
    const isReadAlone = this.#uses.consumers(norm.x).length === 1 && !this.#outputs.has(norm.x);
    if (typeof upstream === 'object' && isReadAlone) {
      this.#apply(norm, upstream, foldIntoUpstream(upstream, affine));
      return report(true, `folded into ${upstream.node.name} upstream`);
    }
    const downstream = this.#readTarget(this.#findOnlyReader(norm.output));
    if (typeof downstream === 'string') {
      const reason =
        typeof upstream === 'object' ? `what ${upstream.node.name} computes is read elsewhere too` : upstream;
      return report(false, `kept: ${reason}; ${downstream} (downstream)`);
    }
    if (downstream.pads && hasShift(affine)) {
      return report(false, `kept: ${downstream.node.name} pads with zeros, which are no shifted zeros`);
    }
    this.#apply(norm, downstream, foldIntoDownstream(downstream, affine));
    return report(true, `folded into ${downstream.node.name} downstream`);
  }

  #apply(norm: BatchNorm, target: FoldTarget, parameters: Pick<FoldTarget, 'weight' | 'bias'>): void {
    this.#targets.set(target.node, { ...target, ...parameters });
    this.#folded.set(norm.output, this.#resolve(norm.x));
  }

  #rewrite(): Graph {
    const replace = new Map<Value, Replacement>(
      Array.from(this.#folded, ([output, x]) => [
        output,
        { reads: [x], emit: ([same]: readonly Value[]) => same ?? x },
      ]),
    );
    const tensors = new Map<Value, Tensor>();
    const newBiases = new Map<Node, Tensor>();
    for (const [node, { weight, bias, outputs }] of this.#targets) {
      const [, w, b] = node.inputs;
      const stored = bias ?? float32(new Float32Array(outputs), [outputs]);
      if (w) tensors.set(w, weight);
      if (b) tensors.set(b, stored);
      else newBiases.set(node, stored);
    }
    let added: Map<Node, Value> | undefined;
    return rewrite(this.graph, {
      replace,
      initializer: (value, data) => tensors.get(value) ?? data,
      node: (node, [x, w], builder) => {
        // New biases follow the parameters of the graph, in the order of the folds.
        added ??= new Map(
          Array.from(newBiases, ([target, bias]) => [
            target,
            builder.initializer(`${getModulePath(target)}.bias`, bias),
          ]),
        );
        const bias = added.get(node);
        return bias && builder.copy(node, [x, w, bias]);
      },
    });
  }
}

const hasShift = ({ shift }: ChannelAffine): boolean => shift.some((value) => value !== 0);
