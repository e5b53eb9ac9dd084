/**
 * Trains the parameters of a classifier's graph that a pattern picks, everything else frozen.
 *
 * The graph is split where the first trained parameter acts. The frozen prefix runs once for each image and view and is
 * kept; a step is one run of a graph that holds forward, loss and gradients of the suffix, and one optimizer update in
 * place. Everything random is drawn from streams keyed by (seed, epoch or step), so that a training that was interrupted
 * goes on to the same result, bit for bit.
 */
import type { Engine, Session } from '../engine/engine.js';
import { ShiboriError } from '../errors.js';
import type { Graph } from '../graph/model.js';
import { parametersOf } from '../graph/parameters.js';
import { splitFrozenPrefix } from '../passes/frozen-prefix.js';
import { rewrite } from '../passes/rewrite.js';
import { seeded } from '../tensor/random.js';
import { expectFloat32, float32, type Tensor, tensor, zeros } from '../tensor/tensor.js';
import { type FeatureStore, memoryStore } from './feature-store.js';
import { type Features, featuresOf } from './features.js';
import type { Optimizer, OptimizerState } from './optimizers.js';
import type { Schedule } from './schedules.js';
import {
  buildStepGraph,
  gradientName,
  initializersNamed,
  LOSS,
  SCORES,
  type StepGraph,
  TARGET,
  updatedName,
} from './step-graph.js';
import type { TrainingData } from './training-data.js';
import type { CheckpointStore, EpochRecord, TrainingProgress, TrainingState } from './training-state.js';
import { validate } from './validate.js';

/** Told of as a training goes on. */
export interface FitProgress {
  /** `features`: the frozen prefix is being computed; `train`: steps; `validate`. */
  readonly stage: 'features' | 'train' | 'validate';
  readonly epoch: number;
  readonly done: number;
  readonly total: number;
  /** Mean loss and top-1 percent of the epoch so far, and steps in all. */
  readonly loss?: number;
  readonly top1?: number;
  readonly step?: number;
  readonly learningRate?: number;
}

/** What `fit` needs to know. */
export interface FitOptions {
  readonly engine: Engine;
  readonly data: TrainingData;
  readonly validation?: TrainingData;
  /** Which parameters are trained, by name. */
  readonly trains: (parameter: string) => boolean;
  readonly optimizer: Optimizer;
  readonly schedule: Schedule;
  readonly epochs: number;
  /** Images a step. Default: 64. */
  readonly batch?: number;
  /** Default: 42. */
  readonly seed?: number;
  /** How many views of each image there are; epoch e uses view e mod views. Default: 1. */
  readonly views?: number;
  /** Where the frozen prefix's outputs are kept. Default: memory. Called with the number of elements of one image. */
  readonly store?: (elements: number, prefix: Graph) => FeatureStore;
  readonly checkpoint?: CheckpointStore;
  /** Seconds between checkpoints. Default: 30. */
  readonly checkpointSeconds?: number;
  /** What makes this training different from another, for checkpoints. */
  readonly fingerprint?: string;
  /** Stops when the validation loss has not got better for so many epochs, and takes the best parameters. */
  readonly patience?: number;
  readonly onProgress?: (progress: FitProgress) => void;
  readonly onEpoch?: (record: EpochRecord) => void | Promise<void>;
  readonly signal?: AbortSignal;
}

/** What came out of a training. */
export interface FitResult {
  /** The inference graph with the trained parameters and running statistics in place. */
  readonly graph: Graph;
  readonly history: readonly EpochRecord[];
  /** Steps done. */
  readonly steps: number;
  /** Whether the signal ended it; a checkpoint was saved if there is a store. */
  readonly interrupted: boolean;
  /** Elements of the cached features of one image; the input's where nothing is frozen. */
  readonly featureElements: number;
}

/** The numbers a training changes, shared by step sessions, validation and checkpoints. */
interface Weights {
  readonly parameters: ReadonlyMap<string, Tensor<'float32'>>;
  readonly statistics: ReadonlyMap<string, Tensor<'float32'>>;
  readonly moments: ReadonlyMap<string, OptimizerState>;
}

interface Step {
  readonly built: StepGraph;
  readonly session: Session;
  /** Gradients are written here, step after step. */
  readonly into: Record<string, Tensor<'float32'>>;
}

function copyOf(source: Tensor): Tensor<'float32'> {
  const { data, dims } = expectFloat32(source, 'A trained parameter');
  return float32(data, dims);
}

/**
 * Trains a classifier.
 *
 * @param graph inference graph, input `[N, C, H, W]` with fixed C, H, W, first output `[N, classes]`.
 * @throws ShiboriError when nothing is trained, and when the loss or a gradient is no longer finite: the last good
 *   checkpoint is kept, and the message says which step it was.
 */
export async function fit(graph: Graph, options: FitOptions): Promise<FitResult> {
  const { engine, data, epochs, batch = 64, seed = 42, views = 1 } = options;
  const names = new Set(
    parametersOf(graph).flatMap(({ name, kind }) => (kind === 'parameter' && options.trains(name) ? [name] : [])),
  );
  const { prefix, suffix, elements } = splitFrozenPrefix(graph, new Set(initializersNamed(graph, names)));
  const store = prefix && (options.store?.(elements, prefix) ?? memoryStore(data.count, elements));
  const features = await featuresOf(engine, data, prefix, store, elements);
  const validation =
    options.validation &&
    (await featuresOf(
      engine,
      options.validation,
      prefix,
      prefix && memoryStore(options.validation.count, elements),
      elements,
    ));
  const trainer = new Trainer(suffix, names, options, features, validation);
  try {
    return { ...(await trainer.run(graph, epochs, batch, seed, views)), featureElements: elements };
  } finally {
    await trainer.dispose();
    await features.dispose();
    await validation?.dispose();
    store?.close();
  }
}

class Trainer {
  readonly #suffix: Graph;
  readonly #names: ReadonlySet<string>;
  readonly #options: FitOptions;
  readonly #features: Features;
  readonly #validation: Features | undefined;
  readonly #weights: Weights;
  readonly #steps = new Map<number, Step>();
  #best = new Map<string, Float32Array>();
  #progress: TrainingProgress;
  #savedAt = performance.now();

  constructor(
    suffix: Graph,
    names: ReadonlySet<string>,
    options: FitOptions,
    features: Features,
    validation: Features | undefined,
  ) {
    this.#suffix = suffix;
    this.#names = names;
    this.#options = options;
    this.#features = features;
    this.#validation = validation;
    const parameters = new Map<string, Tensor<'float32'>>();
    const statistics = new Map<string, Tensor<'float32'>>();
    for (const { name, kind, tensor: initial } of parametersOf(suffix)) {
      if (names.has(name)) parameters.set(name, copyOf(initial));
      else if (kind === 'buffer') statistics.set(name, copyOf(initial));
    }
    const moments = new Map([...parameters].map(([name, { data }]) => [name, options.optimizer.init(data.length)]));
    this.#weights = { parameters, statistics, moments };
    this.#progress = {
      fingerprint: options.fingerprint ?? '',
      step: 0,
      epoch: 0,
      stepOfEpoch: 0,
      lossSum: 0,
      correct: 0,
      images: 0,
      seconds: 0,
      history: [],
    };
  }

  async dispose(): Promise<void> {
    for (const { session } of this.#steps.values()) await session.dispose();
  }

  async #stepFor(size: number): Promise<Step> {
    let step = this.#steps.get(size);
    if (!step) {
      const built = buildStepGraph(this.#suffix, this.#names, size);
      const session = await this.#options.engine.load(built.graph);
      const into: Record<string, Tensor<'float32'>> = {};
      for (const [name, { dims }] of this.#weights.parameters) into[gradientName(name)] = zeros('float32', dims);
      step = { built, session, into };
      this.#steps.set(size, step);
    }
    return step;
  }

  async run(
    graph: Graph,
    epochs: number,
    batch: number,
    seed: number,
    views: number,
  ): Promise<Omit<FitResult, 'featureElements'>> {
    await this.#resume();
    const { count } = this.#features.data;
    // PyTorch keeps the last, smaller batch; one of a single image has no batch statistics and is left out.
    const sizes = Array.from({ length: Math.ceil(count / batch) }, (_, i) => Math.min(batch, count - i * batch)).filter(
      (size) => size > 1,
    );
    if (sizes.length === 0) throw new ShiboriError(`There are too few images to train on: ${count}.`);
    let interrupted = false;
    while (this.#progress.epoch < epochs && !this.#stopped()) {
      const { epoch } = this.#progress;
      const view = epoch % views;
      const order = seeded(seed, 1, epoch).permutation(count);
      await this.#features.fill(
        view,
        order,
        (done) => this.#options.onProgress?.({ stage: 'features', epoch, done, total: count }),
        this.#options.signal,
      );
      if (!(await this.#epoch(order, sizes, batch, view, seed))) {
        interrupted = true;
        break;
      }
      await this.#endEpoch();
    }
    if (interrupted) await this.#save();
    const useBest = this.#options.patience !== undefined && this.#best.size > 0 && !interrupted;
    const { parameters, statistics } = this.#weights;
    const trained = rewrite(graph, {
      initializer: (value, data) => {
        const best = useBest ? this.#best.get(value.name) : undefined;
        if (best) return tensor('float32', data.dims, best);
        return parameters.get(value.name) ?? statistics.get(value.name) ?? data;
      },
    });
    return { graph: trained, history: this.#progress.history, steps: this.#progress.step, interrupted };
  }

  /** Runs the rest of an epoch; false when the signal ended it. */
  async #epoch(
    order: Uint32Array,
    sizes: readonly number[],
    batch: number,
    view: number,
    seed: number,
  ): Promise<boolean> {
    const { signal, onProgress } = this.#options;
    const indicesOf = (at: number) => Array.from(order.subarray(at * batch, at * batch + (sizes[at] ?? 0)));
    let next = this.#features.batch(indicesOf(this.#progress.stepOfEpoch), view);
    let started = performance.now();
    for (let at = this.#progress.stepOfEpoch; at < sizes.length; at++) {
      const indices = indicesOf(at);
      const inputs = await next;
      // The next batch is made while this one is computed.
      if (at + 1 < sizes.length) {
        next = this.#features.batch(indicesOf(at + 1), view);
        next.catch(() => {});
      }
      const learningRate = this.#options.schedule(this.#progress.step);
      const { loss, correct } = await this.#step(inputs, indices, seed, learningRate);
      const now = performance.now();
      const p = this.#progress;
      this.#progress = {
        ...p,
        step: p.step + 1,
        stepOfEpoch: at + 1,
        lossSum: p.lossSum + loss * indices.length,
        correct: p.correct + correct,
        images: p.images + indices.length,
        seconds: p.seconds + (now - started) / 1000,
      };
      started = now;
      onProgress?.({
        stage: 'train',
        epoch: p.epoch,
        done: this.#progress.images,
        total: sizes.reduce((sum, size) => sum + size, 0),
        loss: this.#progress.lossSum / this.#progress.images,
        top1: (100 * this.#progress.correct) / this.#progress.images,
        step: this.#progress.step,
        learningRate,
      });
      if (signal?.aborted) return false;
      if ((now - this.#savedAt) / 1000 > (this.#options.checkpointSeconds ?? 30)) await this.#save();
      // Timers and signals get their turn: running a session does not yield to them.
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    return true;
  }

  async #step(
    inputs: Tensor<'float32'>,
    indices: readonly number[],
    seed: number,
    learningRate: number,
  ): Promise<{ loss: number; correct: number }> {
    const { built, session, into } = await this.#stepFor(indices.length);
    const { parameters, statistics, moments } = this.#weights;
    const { labels } = this.#features.data;
    const targets = zeros('float32', [indices.length, built.classes]);
    indices.forEach((index, row) => {
      const label = labels[index] ?? -1;
      if (label >= 0) targets.data[row * built.classes + label] = 1;
    });
    const feeds: Record<string, Tensor> = { [this.#features.inputName(this.#suffix)]: inputs, [TARGET]: targets };
    for (const [name, value] of parameters) feeds[name] = value;
    for (const name of built.statistics) {
      const value = statistics.get(name);
      if (value) feeds[name] = value;
    }
    for (const [i, { name, dims, ratio }] of built.masks.entries()) {
      const random = seeded(seed, 2, this.#progress.step, i);
      const mask = zeros('float32', dims);
      const keep = 1 / (1 - ratio);
      for (let k = 0; k < mask.data.length; k++) mask.data[k] = random.uniform() < ratio ? 0 : keep;
      feeds[name] = mask;
    }
    const results = await session.run(feeds, into);
    const loss = Number(results[LOSS]?.data[0]);
    this.#expectFinite(loss, 'the loss', learningRate);
    for (const name of parameters.keys()) {
      const gradient = expectFloat32(results[gradientName(name)], `The gradient of "${name}"`);
      let sum = 0;
      for (const value of gradient.data) sum += value * value;
      this.#expectFinite(sum, `the gradient of "${name}"`, learningRate);
    }
    for (const [name, parameter] of parameters) {
      const gradient = expectFloat32(results[gradientName(name)], `The gradient of "${name}"`);
      this.#options.optimizer.update(
        parameter.data,
        gradient.data,
        moments.get(name) ?? {},
        this.#progress.step + 1,
        learningRate,
      );
    }
    for (const name of built.statistics) {
      statistics.get(name)?.data.set(expectFloat32(results[updatedName(name)], `The statistic "${name}"`).data);
    }
    const scores = expectFloat32(results[SCORES], 'The scores');
    let correct = 0;
    indices.forEach((index, row) => {
      const own = scores.data.subarray(row * built.classes, (row + 1) * built.classes);
      let top = 0;
      for (let c = 1; c < own.length; c++) if ((own[c] as number) > (own[top] as number)) top = c;
      if (top === labels[index]) correct++;
    });
    return { loss, correct };
  }

  #expectFinite(value: number, what: string, learningRate: number): void {
    if (Number.isFinite(value)) return;
    const kept = this.#options.checkpoint ? ' The last good checkpoint is kept.' : '';
    throw new ShiboriError(
      `Training stopped at step ${this.#progress.step + 1} (epoch ${this.#progress.epoch + 1}): ${what} is ${value} at a learning rate of ${learningRate.toPrecision(3)}.${kept} Try a lower learning rate.`,
    );
  }

  async #endEpoch(): Promise<void> {
    const p = this.#progress;
    const record: EpochRecord = {
      epoch: p.epoch + 1,
      trainLoss: p.lossSum / p.images,
      trainTop1: (100 * p.correct) / p.images,
      learningRate: this.#options.schedule(Math.max(0, p.step - 1)),
      seconds: p.seconds,
      ...(await this.#validate()),
    };
    const better =
      record.validationLoss !== undefined && record.validationLoss < (p.best?.loss ?? Number.POSITIVE_INFINITY);
    if (better && this.#options.patience !== undefined) {
      this.#best = new Map(
        [...this.#weights.parameters, ...this.#weights.statistics].map(([name, { data }]) => [name, data.slice()]),
      );
    }
    this.#progress = {
      ...p,
      epoch: p.epoch + 1,
      stepOfEpoch: 0,
      lossSum: 0,
      correct: 0,
      images: 0,
      seconds: 0,
      history: [...p.history, record],
      ...(better && record.validationLoss !== undefined
        ? { best: { epoch: record.epoch, loss: record.validationLoss } }
        : {}),
    };
    await this.#save();
    await this.#options.onEpoch?.(record);
  }

  async #validate(): Promise<{ validationLoss?: number; validationTop1?: number }> {
    if (!this.#validation) return {};
    const { epoch } = this.#progress;
    const { parameters, statistics } = this.#weights;
    const graph = rewrite(this.#suffix, {
      initializer: (value, data) => parameters.get(value.name) ?? statistics.get(value.name) ?? data,
    });
    const { loss, top1 } = await validate(this.#options.engine, graph, this.#validation, (done, total) =>
      this.#options.onProgress?.({ stage: 'validate', epoch, done, total }),
    );
    return { validationLoss: loss, validationTop1: top1 };
  }

  /** Whether the validation loss has stopped getting better. */
  #stopped(): boolean {
    const { patience } = this.#options;
    const { best, epoch } = this.#progress;
    return patience !== undefined && best !== undefined && epoch - best.epoch >= patience;
  }

  /** Every tensor of the training under the name that checkpoints give it, to be copied from or into. */
  #tensors(): Map<string, Float32Array> {
    const { parameters, statistics, moments } = this.#weights;
    const all = new Map<string, Float32Array>();
    for (const [name, { data }] of [...parameters, ...statistics]) all.set(name, data);
    for (const [name, state] of moments) {
      for (const [key, values] of Object.entries(state))
        all.set(`${this.#options.optimizer.name}/${key}/${name}`, values);
    }
    return all;
  }

  async #save(): Promise<void> {
    this.#savedAt = performance.now();
    if (!this.#options.checkpoint) return;
    const tensors = this.#tensors();
    for (const [name, values] of this.#best) tensors.set(`best/${name}`, values);
    await this.#options.checkpoint.save({ progress: this.#progress, tensors });
    this.#savedAt = performance.now();
  }

  async #resume(): Promise<void> {
    const state: TrainingState | undefined = await this.#options.checkpoint?.load();
    if (!state) return;
    if (state.progress.fingerprint !== (this.#options.fingerprint ?? '')) {
      throw new ShiboriError(
        'The checkpoint belongs to another training: model, data or options differ. Start anew without --resume, or give the options it was started with.',
      );
    }
    for (const [name, values] of this.#tensors()) {
      const saved = state.tensors.get(name);
      if (saved?.length !== values.length)
        throw new ShiboriError(`The checkpoint does not fit the model: "${name}" is missing or has another size.`);
      values.set(saved);
    }
    for (const [name, values] of state.tensors)
      if (name.startsWith('best/')) this.#best.set(name.slice('best/'.length), values);
    this.#progress = state.progress;
  }
}
