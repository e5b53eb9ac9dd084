/*
 * A network run over calibration images as far as someone wants to see, and no further than once: what is still alive in
 * front of a node (its frontier) is kept, and what comes behind is run from there.
 */
import type { Engine, NamedTensors, Session } from '../engine/engine.js';
import { ShiboriError } from '../errors.js';
import { readsOf } from '../graph/captured.js';
import { isStatic } from '../graph/dims.js';
import type { Graph, Node, Value } from '../graph/model.js';
import { reachableFrom } from '../graph/uses.js';
import { type Replacement, rewrite } from '../passes/rewrite.js';
import { sizeOf } from '../tensor/dims.js';
import type { Tensor } from '../tensor/tensor.js';

/** Bytes that a frontier may take; a larger one is computed again from the one before it. */
const FRONTIER_BYTES = 1.5 * 2 ** 30;

/** What to see of a network. */
export interface StreamRequest {
  readonly values: readonly Value[];
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
  #chunks: readonly (readonly Tensor[])[];

  /** @param chunks images in batches, each a tensor for the graph's only input. */
  constructor(
    readonly engine: Engine,
    readonly graph: Graph,
    chunks: readonly Tensor[],
  ) {
    const [input, second] = graph.inputs;
    if (!input || second) throw new ShiboriError(`A model that is squeezed takes one input, the images.`);
    this.#frontier = [input];
    this.#chunks = chunks.map((chunk) => [chunk]);
  }

  /** Another stream that stands where this one does: from here on they go ways of their own. */
  copy(): ActivationStream {
    const other = new ActivationStream(this.engine, this.graph, []);
    other.#frontier = this.#frontier;
    other.#chunks = this.#chunks;
    for (const entry of this.#replace) other.replace(entry);
    return other;
  }

  /** Number of images. */
  get images(): number {
    return this.#chunks.reduce((sum, [first]) => sum + (first?.dims[0] ?? 0), 0);
  }

  /** From now on these values are computed in another way; they must come behind the frontier. */
  replace([value, replacement]: readonly [Value, Replacement]): void {
    this.#replace.set(value, replacement);
  }

  /** Keeps what is alive in front of `node`, unless that is more than memory should hold. */
  async moveTo(node: Node): Promise<void> {
    for await (const _ of this.moving(node, []));
  }

  /** Moves to `node` as `moveTo` does, once all chunks were read, and tells values on the way. */
  async *moving(node: Node, values: readonly Value[]): AsyncGenerator<readonly Tensor[]> {
    const live = liveBefore(this.graph, node);
    const elements = live.map(({ type }) => {
      const dims = type?.dims.slice(1);
      // Without dimensions nobody can say how much it would be.
      return dims && isStatic(dims) ? sizeOf(dims) : Number.POSITIVE_INFINITY;
    });
    const kept = 4 * elements.reduce((sum, each) => sum + each, 0) * this.images <= FRONTIER_BYTES ? live : [];
    if (kept.length === 0 && values.length === 0) return;
    const chunks: (readonly Tensor[])[] = [];
    for await (const found of this.run({ values: [...kept, ...values] })) {
      if (kept.length > 0) chunks.push(found.slice(0, kept.length));
      yield found.slice(kept.length);
    }
    if (kept.length === 0) return;
    this.#frontier = kept;
    this.#chunks = chunks;
  }

  /** The values, a chunk of images at a time, in order. */
  async *run(request: StreamRequest): AsyncGenerator<readonly Tensor[]> {
    const wanted = [...new Set(request.values)].filter((value) => !this.#frontier.includes(value));
    const replace = new Map([...this.#replace, ...(request.replace ?? [])]);
    const segment =
      wanted.length > 0 ? rewrite(this.graph, { cutAt: this.#frontier, outputs: wanted, replace }) : undefined;
    const session: Session | undefined = segment && (await this.engine.load(segment));
    let images = 0;
    try {
      for (const chunk of this.#chunks) {
        const first = images;
        images += chunk[0]?.dims[0] ?? 0;
        if (first < (request.skip ?? 0)) continue;
        const feeds: NamedTensors = Object.fromEntries(
          (segment?.inputs ?? []).flatMap(({ name }) => {
            const at = this.#frontier.findIndex((value) => value.name === name);
            const tensor = chunk[at];
            return tensor ? [[name, tensor]] : [];
          }),
        );
        const results = session ? await session.run(feeds) : {};
        const found = request.values.map((value) => {
          const at = this.#frontier.indexOf(value);
          const tensor = at >= 0 ? chunk[at] : results[segment?.outputs[wanted.indexOf(value)]?.name ?? ''];
          if (!tensor) throw new ShiboriError(`Value "${value.name}" was not computed.`);
          return tensor;
        });
        yield found;
        if (images >= (request.images ?? Number.POSITIVE_INFINITY)) break;
      }
    } finally {
      await session?.dispose();
    }
  }
}

/** What depends on the input, is computed before `node` and read by it or later. */
function liveBefore(graph: Graph, node: Node): Value[] {
  const at = graph.nodes.indexOf(node);
  const moving = reachableFrom(graph, graph.inputs);
  const later = new Set<Value>(graph.outputs);
  for (const each of graph.nodes.slice(at)) for (const value of readsOf(each)) later.add(value);
  const before = [...graph.inputs, ...graph.nodes.slice(0, at).flatMap(({ outputs }) => outputs)];
  return before.filter((value): value is Value => value !== undefined && moving.has(value) && later.has(value));
}
