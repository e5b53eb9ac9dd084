/*
 * A network run over calibration images as far as someone wants to see, and no further than once: what is still alive in
 * front of a node (its frontier) is kept, and what comes after is run from there.
 */
import type { Engine, NamedTensors, Session } from '../../engine/engine.js';
import { ShiboriError } from '../../errors.js';
import { countElementsPer } from '../../graph/dims.js';
import { type Dim, type Graph, type Node, Value } from '../../graph/model.js';
import { listReads } from '../../graph/reads.js';
import { findReachable } from '../../graph/uses.js';
import type { GraphBuilder } from '../../ops/builder.js';
import { countNodeMacs } from '../../ops/count-macs.js';
import { findScores } from '../../ops/scores/scores.js';
import { type Replacement, startRewrite } from '../../passes/rewrite.js';
import type { Tensor } from '../../tensor/tensor.js';

/** Bytes that a frontier may take at the most. */
const FRONTIER_BYTES = 1.5 * 2 ** 30;
/**
 * Bytes that are always kept; of more, each must spare so many MACs. To fetch a gigabyte into fresh memory
 * takes about 3 seconds, in which two cores compute some 200 MACs for each of its bytes.
 */
const ALWAYS_KEPT_FRONTIER_BYTES = 2 ** 28;
const LEAST_MACS_PER_BYTE = 200;
/** What is usually left of the MACs of a layer that was replaced. */
const MACS_LEFT_SHARE = 0.25;

/** Something that is computed of a value where it arises: a few numbers are fetched instead of all of them. */
export interface Probe {
  readonly value: Value;
  /** Inputs alongside the value that it reads, for a batch of this number. */
  buildFeeds(batch: number): NamedTensors;
  /** Adds its nodes to the graph, and graph inputs of the names that it feeds. */
  append(b: GraphBuilder, value: Value): Value;
  /** Where it is written for a batch of so many images: what was reported a batch is gone with the next. */
  getTarget(images: number): Tensor;
}

/** What to see of a network: values as they are, or what is computed of them. */
export interface StreamRequest {
  readonly values: readonly (Value | Probe)[];
  /** Leave out so many images at the beginning (to the end of the chunk). Default: 0. */
  readonly skip?: number;
  /** Stop after so many images, those left out among them (to the end of the chunk). Default: all. */
  readonly images?: number;
  /** Layers that are computed in another way for this request alone. */
  readonly replace?: ReadonlyMap<Value, Replacement>;
}

/** One network over the calibration images. */
export class ActivationStream {
  readonly #replace = new Map<Value, Replacement>();
  #frontier: readonly Value[];
  /** The first node after the frontier. */
  #from = 0;
  #chunks: readonly (readonly Tensor[])[];
  /** Images of each chunk: values in between may hold several rows of an image. */
  #sizes: readonly number[];

  /** @param chunks images in batches, each a tensor for the graph's only input. */
  constructor(
    readonly engine: Engine,
    readonly graph: Graph,
    chunks: readonly Tensor[],
  ) {
    const [input, second] = graph.inputs;
    if (!input || second)
      throw new ShiboriError(`A model that is squeezed takes one input, the images.`, { code: 'unsupported-model' });
    this.#frontier = [input];
    this.#chunks = chunks.map((chunk) => [chunk]);
    this.#sizes = chunks.map(({ dims }) => dims[0] ?? 0);
  }

  /** Another stream that stands where this one does: from here on they go ways of their own. */
  copy(): ActivationStream {
    const other = new ActivationStream(this.engine, this.graph, []);
    other.#frontier = this.#frontier;
    other.#from = this.#from;
    other.#chunks = this.#chunks;
    other.#sizes = this.#sizes;
    for (const entry of this.#replace) other.replace(entry);
    return other;
  }

  /** Number of images. */
  get images(): number {
    return this.#sizes.reduce((sum, size) => sum + size, 0);
  }

  /** Number of images that a request tells of: whole chunks. */
  countRequestedImages({
    skip = 0,
    images = Number.POSITIVE_INFINITY,
  }: Pick<StreamRequest, 'skip' | 'images'>): number {
    let [seen, count] = [0, 0];
    for (const size of this.#sizes) {
      if (seen >= skip && seen < images) count += size;
      seen += size;
    }
    return count;
  }

  /** From now on these values are computed in another way; they must come after the frontier. */
  replace([value, replacement]: readonly [Value, Replacement]): void {
    this.#replace.set(value, replacement);
  }

  /** Keeps what is alive in front of `node`, unless it is more than memory should hold, or faster computed again. */
  async moveTo(node: Node): Promise<void> {
    for await (const _ of this.runWhileMovingTo(node, []));
  }

  /**
   * Moves to `node` as `moveTo` does, once all chunks were read, and tells values on the way.
   *
   * @param images of so many images values are reported (to the end of the chunk). Default: all.
   */
  async *runWhileMovingTo(
    node: Node,
    values: StreamRequest['values'],
    images = Number.POSITIVE_INFINITY,
  ): AsyncGenerator<readonly Tensor[]> {
    const live = findLiveValues(this.graph, node);
    const batch = this.graph.inputs[0]?.type?.dims[0] ?? 'N';
    // Without dimensions no one can say how much it would be.
    const elements = live.map(({ type }) => countElementsPer(batch, type?.dims ?? ['?']) ?? Number.POSITIVE_INFINITY);
    const bytes = 4 * elements.reduce((sum, each) => sum + each, 0) * this.images;
    const until = this.graph.nodes.indexOf(node);
    const spared = this.#countMacs(until, batch);
    const isWorth = bytes <= ALWAYS_KEPT_FRONTIER_BYTES || spared * this.images >= LEAST_MACS_PER_BYTE * bytes;
    if (bytes > FRONTIER_BYTES || !isWorth) {
      if (values.length > 0) yield* this.run({ values, images });
      return;
    }
    const chunks: (readonly Tensor[])[] = [];
    let seen = 0;
    for await (const found of this.run({ values: [...live, ...values] })) {
      chunks.push(found.slice(0, live.length));
      if (seen < images) yield found.slice(live.length);
      seen += this.#sizes[chunks.length - 1] ?? 0;
    }
    this.#frontier = live;
    this.#chunks = chunks;
    this.#from = until;
  }

  /** MACs of one image from the frontier to a node. */
  #countMacs(until: number, batch: Dim): number {
    let sum = 0;
    for (const node of this.graph.nodes.slice(this.#from, until)) {
      const isReplaced = node.outputs.some((output) => output && this.#replace.has(output));
      sum += countNodeMacs(node, batch) * (isReplaced ? MACS_LEFT_SHARE : 1);
    }
    return sum;
  }

  /** What a request sees that is not kept in front already, as a graph that begins there; its outputs in order. */
  #buildSegment(seen: StreamRequest['values'], replace: ReadonlyMap<Value, Replacement>): Graph {
    const outputs = seen.map((each) => (each instanceof Value ? each : each.value));
    const { builder, mapValue: of } = startRewrite(this.graph, { cutAt: this.#frontier, outputs, replace });
    for (const [i, each] of seen.entries()) {
      if (each instanceof Value) {
        builder.output(of(each));
        continue;
      }
      const probed = builder.within(`probe${i}`, () => builder.op('Identity', [each.append(builder, of(each.value))]));
      builder.output(probed);
    }
    return builder.build(this.graph.name);
  }

  /** What probabilities are computed from (see `scoresOf`), a chunk of images each, in the graph's own layout. */
  async computeScores(request: Omit<StreamRequest, 'values'> = {}): Promise<Tensor[]> {
    const found: Tensor[] = [];
    const values = [findScores(this.graph).source.value];
    for await (const told of this.run({ ...request, values })) found.push(...told);
    return found;
  }

  /** What was asked for, a chunk of images at a time, in order. */
  async *run(request: StreamRequest): AsyncGenerator<readonly Tensor[]> {
    const isAtHand = (each: Value | Probe): each is Value => each instanceof Value && this.#frontier.includes(each);
    const wanted = [...new Set(request.values)].filter((each) => !isAtHand(each));
    const replace = new Map([...this.#replace, ...(request.replace ?? [])]);
    const segment = wanted.length > 0 ? this.#buildSegment(wanted, replace) : undefined;
    const session: Session | undefined = segment && (await this.engine.load(segment));
    const inputs = new Set(segment?.inputs.map(({ name }) => name));
    let images = 0;
    let batch = 0;
    try {
      for (const [i, chunk] of this.#chunks.entries()) {
        const first = images;
        images += this.#sizes[i] ?? 0;
        if (first < (request.skip ?? 0)) continue;
        const kept = this.#frontier.flatMap(({ name }, k) => (inputs.has(name) && chunk[k] ? [[name, chunk[k]]] : []));
        const probing = wanted.map((each) => (each instanceof Value ? {} : each.buildFeeds(batch)));
        const feeds: NamedTensors = Object.assign(Object.fromEntries(kept), ...probing);
        const targets = wanted.flatMap((each, k) => {
          const name = segment?.outputs[k]?.name;
          return each instanceof Value || name === undefined ? [] : [[name, each.getTarget(images - first)] as const];
        });
        const results = session ? await session.run(feeds, Object.fromEntries(targets)) : {};
        batch++;
        yield request.values.map((each) => {
          const output = segment?.outputs[wanted.indexOf(each)]?.name;
          const tensor = isAtHand(each) ? chunk[this.#frontier.indexOf(each)] : results[output ?? ''];
          if (tensor) return tensor;
          throw new ShiboriError(`Value "${(each instanceof Value ? each : each.value).name}" was not computed.`, {
            code: 'unsupported-model',
          });
        });
        if (images >= (request.images ?? Number.POSITIVE_INFINITY)) break;
      }
    } finally {
      await session?.dispose();
    }
  }
}

/** What depends on the input, is computed before `node` and read by it or later. */
function findLiveValues(graph: Graph, node: Node): Value[] {
  const at = graph.nodes.indexOf(node);
  const moving = findReachable(graph, graph.inputs);
  const later = new Set<Value>(graph.outputs);
  for (const each of graph.nodes.slice(at)) for (const value of listReads(each)) later.add(value);
  const before = [...graph.inputs, ...graph.nodes.slice(0, at).flatMap(({ outputs }) => outputs)];
  return before.filter((value): value is Value => value !== undefined && moving.has(value) && later.has(value));
}
