/*
 * Graphs that run for one batch size alone get their images in pieces of that size, the last one filled up with zeros; for
 * graphs that are bound to a size, a session is kept for each size in use.
 */
import type { Graph } from '../graph/model.js';
import { float32, type Tensor } from '../tensor/tensor.js';
import type { Engine, Session } from './engine.js';

/** Images that are run at once. */
export interface Piece {
  readonly images: Tensor<'float32'>;
  /** Where they begin among all images, and how many are no filling. */
  readonly start: number;
  readonly count: number;
}

/**
 * Cuts a batch `[n, …]` into pieces of a fixed size.
 *
 * @param size `undefined` for a graph of any batch: one piece, the images themselves.
 */
export function* splitIntoPieces(images: Tensor<'float32'>, size: number | undefined): Generator<Piece> {
  const [total = 0, ...dims] = images.dims;
  if (size === undefined || size === total) {
    yield { images, start: 0, count: total };
    return;
  }
  const elements = images.data.length / total;
  for (let start = 0; start < total; start += size) {
    const count = Math.min(size, total - start);
    const data = new Float32Array(size * elements);
    data.set(images.data.subarray(start * elements, (start + count) * elements));
    yield { images: float32(data, [size, ...dims]), start, count };
  }
}

/** Keeps a session for each batch size in use: the full one and the last, smaller one. */
export class BatchSessions {
  readonly #sessions = new Map<number, Promise<Session>>();

  /** @param build builds the graph for a batch size. */
  constructor(
    readonly engine: Engine,
    readonly build: (batch: number) => Graph,
  ) {}

  /** The session for a batch size, loaded when it is first asked for. */
  loadFor(batch: number): Promise<Session> {
    const session = this.#sessions.get(batch) ?? this.engine.load(this.build(batch));
    this.#sessions.set(batch, session);
    return session;
  }

  async dispose(): Promise<void> {
    const sessions = [...this.#sessions.values()];
    this.#sessions.clear();
    for (const session of sessions) await (await session).dispose();
  }
}

/**
 * Runs a batch of images `[n, …]`, in pieces where the batch is fixed, and puts the results `[n, …]` together.
 *
 * @param size the fixed batch; `undefined` for any.
 */
export async function runInPieces(
  images: Tensor<'float32'>,
  size: number | undefined,
  run: (piece: Tensor<'float32'>) => Promise<Tensor<'float32'>>,
): Promise<Tensor<'float32'>> {
  const [total = 0] = images.dims;
  if (size === undefined || size === total) return run(images);
  let found: Float32Array | undefined;
  let dims: readonly number[] = [];
  for (const { images: piece, start, count } of splitIntoPieces(images, size)) {
    const { data, dims: own } = await run(piece);
    const elements = data.length / size;
    found ??= new Float32Array(total * elements);
    dims = own.slice(1);
    found.set(data.subarray(0, count * elements), start * elements);
  }
  return float32(found ?? [], [total, ...dims]);
}
