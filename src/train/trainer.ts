import { prefetch } from '../data/prefetch.js';
import type { Engine } from '../engine/engine.js';
import { ShiboriError } from '../errors.js';
import type { Graph } from '../graph/model.js';
import { seeded } from '../tensor/random.js';
import { type Tensor, tensor } from '../tensor/tensor.js';
import type { Features, Wait } from './features.js';
import { areFinite } from './gradients.js';
import { createPacer } from './pacer.js';
import type { Schedule } from './schedules.js';
import type { StepSettings } from './step-settings.js';
import type { CheckpointStore, EpochRecord, TrainingProgress } from './training-state.js';
import { createStepper, type Stepper } from './training-step.js';
import { validate } from './validate.js';
import { namedArrays, restoreArrays, resultingWeights, type Weights, withWeights } from './weights.js';

/** Second key of the random streams that the order of images is drawn from. */
const ORDER_STREAM = 1;

/** Prefix of the best parameters' names in a checkpoint. */
const BEST = 'best/';

/** Told of as a training goes on. */
export interface FitProgress {
  /** `features`: the frozen prefix is being computed; `train`: steps; `validate`. */
  readonly stage: 'features' | 'train' | 'validate';
  /** From 0. */
  readonly epoch: number;
  /** Images done, of `total`. */
  readonly done: number;
  readonly total: number;
  /** Mean loss and top-1 percent of the epoch so far, and steps in all. */
  readonly loss?: number;
  readonly top1?: number;
  readonly step?: number;
  readonly learningRate?: number;
  /** Seconds in which images were waited for since the stage began in this epoch, and their share of its time (0…1). */
  readonly waited?: number;
  readonly waiting?: number;
}

/** What decides how a training goes, beside the graph and the data. */
export interface TrainerOptions extends StepSettings {
  readonly engine: Engine;
  readonly schedule: Schedule;
  readonly epochs: number;
  readonly batch: number;
  /** Batches whose gradients are added up for one step. */
  readonly accumulate: number;
  readonly fingerprint: string;
  readonly checkpoint?: CheckpointStore;
  readonly checkpointSeconds: number;
  readonly patience?: number;
  readonly onProgress?: (progress: FitProgress) => void;
  readonly onEpoch?: (record: EpochRecord) => void | Promise<void>;
  readonly signal?: AbortSignal;
}

/** Sums of an epoch that has not begun. */
const NOTHING_DONE = { stepOfEpoch: 0, lossSum: 0, correct: 0, images: 0, seconds: 0 };

/** One training: epochs, validation, checkpoints. The weights change in place. */
export class Trainer {
  readonly #graph: Graph;
  readonly #weights: Weights;
  readonly #features: Features;
  readonly #validation: Features | undefined;
  readonly #options: TrainerOptions;
  readonly #stepper: Stepper;
  readonly #pause = createPacer();
  #best = new Map<string, Float32Array>();
  #progress: TrainingProgress;
  #savedAt = performance.now();
  #hasCheckpoint = false;

  /** @param graph inference graph of what is trained, fed by `features`. */
  constructor(
    graph: Graph,
    weights: Weights,
    features: Features,
    validation: Features | undefined,
    options: TrainerOptions,
  ) {
    this.#graph = graph;
    this.#weights = weights;
    this.#features = features;
    this.#validation = validation;
    this.#options = options;
    this.#stepper = createStepper(options.engine, graph, weights, options);
    this.#progress = { fingerprint: options.fingerprint, step: 0, epoch: 0, ...NOTHING_DONE, history: [] };
  }

  get progress(): TrainingProgress {
    return this.#progress;
  }

  async dispose(): Promise<void> {
    await this.#stepper.dispose();
  }

  /** Trains to the end, or until the signal: false then, with a checkpoint saved. */
  async run(): Promise<boolean> {
    await this.#resume();
    while (this.#progress.epoch < this.#options.epochs && !this.#stopped()) {
      if ((await this.#runEpoch()) && (await this.#endEpoch())) continue;
      await this.#save();
      return false;
    }
    return true;
  }

  /** Parameters and running statistics by name; the best ones where the training stops early and was not interrupted. */
  results(finished: boolean): Map<string, Tensor<'float32'>> {
    const useBest = finished && this.#options.patience !== undefined;
    const found = new Map<string, Tensor<'float32'>>();
    for (const [name, current] of resultingWeights(this.#weights)) {
      const best = useBest ? this.#best.get(name) : undefined;
      found.set(name, best ? tensor('float32', current.dims, best) : current);
    }
    return found;
  }

  /** The images of each step of an epoch, in the parts that are computed at once. */
  #plan(epoch: number): number[][][] {
    const { batch, accumulate, seed } = this.#options;
    const order = Array.from(seeded(seed, ORDER_STREAM, epoch).permutation(this.#features.data.count));
    // PyTorch keeps the last, smaller batch; one of a single image has no batch statistics and is left out.
    const parts = slices(order, batch).filter((part) => part.length > 1);
    return slices(parts, accumulate);
  }

  /** Runs the rest of an epoch; false when the signal ended it. */
  async #runEpoch(): Promise<boolean> {
    const { signal, onProgress } = this.#options;
    const { data, ahead } = this.#features;
    const { epoch } = this.#progress;
    const view = this.#features.viewOf(epoch);
    const filled = await this.#features.fill(
      view,
      (done, wait) => onProgress?.({ stage: 'features', epoch, done, total: data.count, ...wait }),
      signal,
    );
    if (!filled) return false;
    const steps = this.#plan(epoch).slice(this.#progress.stepOfEpoch);
    // The next batches are made while this one is computed.
    const next = prefetch(steps.flat(), (indices) => this.#features.batch(indices, view), ahead);
    const began = performance.now();
    let waited = 0;
    const inputsOf = async () => {
      const asked = performance.now();
      const inputs = await next();
      waited += performance.now() - asked;
      if (!inputs) throw new Error('unreachable: as many batches are asked for as there are');
      return inputs;
    };
    let started = began;
    for (const parts of steps) {
      if (signal?.aborted) return false;
      await this.#step(parts, view, inputsOf);
      const now = performance.now();
      this.#progress = { ...this.#progress, seconds: this.#progress.seconds + (now - started) / 1000 };
      started = now;
      const { step, stepOfEpoch, images } = this.#progress;
      onProgress?.({
        stage: 'train',
        epoch,
        done: Math.min(stepOfEpoch * this.#options.accumulate * this.#options.batch, data.count),
        total: data.count,
        ...(images === 0 ? {} : meansOf(this.#progress)),
        step,
        learningRate: this.#options.schedule(step - 1),
        waited: waited / 1000,
        waiting: waited / (now - began),
      });
      await this.#pause();
      if ((performance.now() - this.#savedAt) / 1000 > this.#options.checkpointSeconds) await this.#save();
    }
    return true;
  }

  /** One step: its parts, then the update. */
  async #step(
    parts: readonly (readonly number[])[],
    view: number,
    inputsOf: () => Promise<Tensor<'float32'>>,
  ): Promise<void> {
    const p = this.#progress;
    const learningRate = this.#options.schedule(p.step);
    const all = parts.flat().length;
    let { lossSum, correct, images } = p;
    for (const [part, indices] of parts.entries()) {
      const inputs = await inputsOf();
      const labels = indices.map((index) => this.#features.data.labels[index] ?? -1);
      const share = indices.length / all;
      const { data, isImages } = this.#features;
      const imagesOf = async () => (isImages ? inputs : data.images(indices, view));
      const result = await this.#stepper.compute({
        inputs,
        indices,
        images: imagesOf,
        labels,
        step: p.step,
        part,
        share,
      });
      if ('notFinite' in result) throw this.#notFinite(result.notFinite, learningRate);
      lossSum += result.lossSum;
      correct += result.correct;
      images += result.images;
    }
    const failure = this.#stepper.update(p.step, learningRate);
    if (failure) throw this.#notFinite(failure.notFinite, learningRate);
    this.#progress = { ...p, step: p.step + 1, stepOfEpoch: p.stepOfEpoch + 1, lossSum, correct, images };
  }

  /** Validates, records and saves; false when the signal ended it before. */
  async #endEpoch(): Promise<boolean> {
    const p = this.#progress;
    if (p.images === 0) throw new ShiboriError('Not one training image could be read: there is nothing to train on.');
    const { loss, top1 } = meansOf(p);
    const measured = this.#validation && (await this.#validate(this.#validation));
    if (measured === 'aborted') return false;
    const record: EpochRecord = {
      epoch: p.epoch + 1,
      trainLoss: loss,
      trainTop1: top1,
      learningRate: this.#options.schedule(Math.max(0, p.step - 1)),
      seconds: p.seconds,
      ...(measured ? { validationLoss: measured.loss, validationTop1: measured.top1 } : {}),
    };
    let { best } = p;
    if (measured && measured.loss < (best?.loss ?? Number.POSITIVE_INFINITY)) {
      best = { epoch: record.epoch, loss: measured.loss };
      if (this.#options.patience !== undefined) {
        this.#best = new Map([...resultingWeights(this.#weights)].map(([name, { data }]) => [name, data.slice()]));
      }
    }
    this.#progress = {
      ...p,
      epoch: p.epoch + 1,
      ...NOTHING_DONE,
      history: [...p.history, record],
      ...(best ? { best } : {}),
    };
    // Told of first: if the process dies in between, the epoch is done and told of once more, and none is left out.
    await this.#options.onEpoch?.(record);
    await this.#save();
    return true;
  }

  async #validate(features: Features): Promise<{ readonly loss: number; readonly top1: number } | 'aborted'> {
    const { engine, onProgress, signal } = this.#options;
    const { epoch } = this.#progress;
    const graph = withWeights(this.#graph, resultingWeights(this.#weights));
    const report = (done: number, total: number, wait: Wait) =>
      onProgress?.({ stage: 'validate', epoch, done, total, ...wait });
    return (await validate(engine, graph, features, report, signal)) ?? 'aborted';
  }

  /** Whether the validation loss has stopped getting better. */
  #stopped(): boolean {
    const { patience } = this.#options;
    const { best, epoch } = this.#progress;
    return patience !== undefined && best !== undefined && epoch - best.epoch >= patience;
  }

  #notFinite(what: string, learningRate: number): ShiboriError {
    const { step, epoch } = this.#progress;
    const kept = this.#hasCheckpoint ? ' The last good checkpoint is kept.' : '';
    return new ShiboriError(
      `Training stopped at step ${step + 1} (epoch ${epoch + 1}): ${what}, at a learning rate of ${learningRate.toPrecision(3)}.${kept} Try a lower learning rate, and check that the images are normalised as the model expects.`,
    );
  }

  async #save(): Promise<void> {
    const { checkpoint, optimizer, schedule } = this.#options;
    if (checkpoint) {
      const tensors = namedArrays(this.#weights, optimizer);
      for (const [name, values] of tensors) {
        // A step whose gradients were finite may still have gone too far.
        if (!areFinite(values)) throw this.#notFinite(`"${name}" is not finite`, schedule(this.#progress.step));
      }
      for (const [name, values] of this.#best) tensors.set(`${BEST}${name}`, values);
      await checkpoint.save({ progress: this.#progress, tensors });
      this.#hasCheckpoint = true;
    }
    this.#savedAt = performance.now();
  }

  async #resume(): Promise<void> {
    const state = await this.#options.checkpoint?.load();
    if (!state) return;
    if (state.progress.fingerprint !== this.#options.fingerprint) {
      throw new ShiboriError(
        'The checkpoint belongs to another training: model, data or options differ. Start anew without --resume, or give the options it was started with.',
      );
    }
    restoreArrays(namedArrays(this.#weights, this.#options.optimizer), state.tensors);
    for (const [name, values] of state.tensors) {
      if (name.startsWith(BEST)) this.#best.set(name.slice(BEST.length), values);
    }
    this.#progress = state.progress;
    this.#hasCheckpoint = true;
  }
}

/** Slices of so many items each; the last holds the rest. */
function slices<T>(items: readonly T[], size: number): T[][] {
  const found: T[][] = [];
  for (let at = 0; at < items.length; at += size) found.push(items.slice(at, at + size));
  return found;
}

function meansOf({ lossSum, correct, images }: TrainingProgress): { readonly loss: number; readonly top1: number } {
  return { loss: lossSum / images, top1: (100 * correct) / images };
}
