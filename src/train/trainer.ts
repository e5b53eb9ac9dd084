import { prefetch } from '../data/prefetch.js';
import type { Engine } from '../engine/engine.js';
import { ShiboriError } from '../errors.js';
import { findFixedBatch } from '../graph/batch.js';
import type { Graph } from '../graph/model.js';
import { seeded } from '../tensor/random.js';
import type { Tensor } from '../tensor/tensor.js';
import { defined } from '../values.js';
import { BestWeights, checkMeasured, isBetter, type ValidationResult } from './best-weights.js';
import { createEventLoopPause } from './event-loop-pause.js';
import { areFinite } from './gradients.js';
import type { Schedule } from './schedules.js';
import type { StepSettings } from './step-settings.js';
import type { Features, ImageWait } from './training-features.js';
import type { CheckpointStore, EpochRecord, TrainingProgress } from './training-state.js';
import { createStepper, type Stepper } from './training-step.js';
import { validate } from './validate.js';
import { collectResultWeights, listNamedArrays, restoreArrays, type Weights, withWeights } from './weights.js';

/** Second key of the random streams that the order of images is drawn from. */
const ORDER_STREAM = 1;

/** Describes the progress of a training. */
export interface FitProgress {
  /** `features`: the frozen prefix is being computed; `train`: steps; `validate`. */
  readonly phase: 'features' | 'train' | 'validate';
  /** From 0; -1 for the validation before the training. */
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
  readonly waitedSeconds?: number;
  readonly waitingShare?: number;
}

/** Lists what decides how a training runs, apart from the graph and the data. */
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
  /** Which weights are the result: of the best epoch on the validation images, or of the last. */
  readonly keep: 'best' | 'last';
  /** What the model measures before the training; `skip`: its results are of no use. Default: it is measured. */
  readonly before?: ValidationResult | 'skip';
  readonly onProgress?: (progress: FitProgress) => void;
  readonly onBefore?: (measured: ValidationResult) => void | Promise<void>;
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
  readonly #pause = createEventLoopPause();
  readonly #best = new BestWeights();
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
    if (!(await this.#measureBefore())) {
      await this.#save();
      return false;
    }
    while (this.#progress.epoch < this.#options.epochs && !this.#stopped()) {
      if ((await this.#runEpoch()) && (await this.#endEpoch())) continue;
      await this.#save();
      return false;
    }
    return true;
  }

  /** Parameters and running statistics by name; those of the best epoch where it is kept and the training was not interrupted. */
  collectResults(finished: boolean): ReadonlyMap<string, Tensor<'float32'>> {
    const current = collectResultWeights(this.#weights);
    return finished && this.#keepsBest ? this.#best.apply(current) : current;
  }

  /** Whether the result is the best epoch on the validation images. */
  get #keepsBest(): boolean {
    return this.#validation !== undefined && this.#options.keep === 'best';
  }

  /** Measures the model before the first step; false when the signal ended it before. */
  async #measureBefore(): Promise<boolean> {
    const { before, onBefore } = this.#options;
    if (!this.#validation || this.#progress.before || this.#progress.step > 0 || before === 'skip') return true;
    const measured = before ?? (await this.#validate(this.#validation, -1));
    if (measured === 'aborted') return false;
    this.#progress = { ...this.#progress, before: measured };
    this.#keepIfBetter(0, measured);
    if (before === undefined) await onBefore?.(measured);
    return true;
  }

  /** Notes the best epoch so far, and copies its weights where they may become the result. */
  #keepIfBetter(epoch: number, measured: ValidationResult): void {
    if (!isBetter(measured, this.#progress.kept)) return;
    this.#progress = { ...this.#progress, kept: { epoch, ...measured } };
    if (this.#keepsBest) this.#best.set(collectResultWeights(this.#weights));
  }

  /** The images of each step of an epoch, in the parts that are computed at once. */
  #plan(epoch: number): number[][][] {
    const { batch, accumulate, seed } = this.#options;
    const order = Array.from(seeded(seed, ORDER_STREAM, epoch).permutation(this.#features.data.count));
    // PyTorch keeps the last, smaller batch; one of a single image has no batch statistics and is left out.
    // A graph of a fixed batch leaves out the rest, other images in every epoch.
    const least = findFixedBatch(this.#graph) === batch ? batch : 2;
    const parts = splitIntoSlices(order, batch).filter((part) => part.length >= least);
    return splitIntoSlices(parts, accumulate);
  }

  /** Runs the rest of an epoch; false when the signal ended it. */
  async #runEpoch(): Promise<boolean> {
    const { signal, onProgress } = this.#options;
    const { data, ahead } = this.#features;
    const { epoch } = this.#progress;
    const view = this.#features.getView(epoch);
    const filled = await this.#features.fill(
      view,
      (done, wait) => onProgress?.({ phase: 'features', epoch, done, total: data.count, ...wait }),
      signal,
    );
    if (!filled) return false;
    const steps = this.#plan(epoch).slice(this.#progress.stepOfEpoch);
    // The next batches are made while this one is computed.
    const next = prefetch(steps.flat(), (indices) => this.#features.batch(indices, view), ahead);
    const began = performance.now();
    let waited = 0;
    const loadInputs = async () => {
      const asked = performance.now();
      const inputs = await next();
      waited += performance.now() - asked;
      if (!inputs) throw new Error('unreachable: as many batches are asked for as there are');
      return inputs;
    };
    let started = began;
    for (const parts of steps) {
      if (signal?.aborted) return false;
      await this.#step(parts, view, loadInputs);
      const now = performance.now();
      this.#progress = { ...this.#progress, seconds: this.#progress.seconds + (now - started) / 1000 };
      started = now;
      const { step, stepOfEpoch, images } = this.#progress;
      onProgress?.({
        phase: 'train',
        epoch,
        done: Math.min(stepOfEpoch * this.#options.accumulate * this.#options.batch, data.count),
        total: data.count,
        ...(images === 0 ? {} : computeMeans(this.#progress)),
        step,
        learningRate: this.#options.schedule(step - 1),
        waitedSeconds: waited / 1000,
        waitingShare: waited / (now - began),
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
    loadInputs: () => Promise<Tensor<'float32'>>,
  ): Promise<void> {
    const p = this.#progress;
    const learningRate = this.#options.schedule(p.step);
    const all = parts.flat().length;
    let { lossSum, correct, images } = p;
    for (const [part, indices] of parts.entries()) {
      const inputs = await loadInputs();
      const labels = indices.map((index) => this.#features.data.labels[index] ?? -1);
      const share = indices.length / all;
      const { data, isImages } = this.#features;
      const getImages = async () => (isImages ? inputs : data.images(indices, view));
      const result = await this.#stepper.compute({
        inputs,
        indices,
        images: getImages,
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
    if (p.images === 0)
      throw new ShiboriError('Not one training image could be read: there is nothing to train on.', {
        code: 'training-failed',
      });
    const { loss, top1 } = computeMeans(p);
    const measured = this.#validation && (await this.#validate(this.#validation, p.epoch));
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
    }
    if (measured) this.#keepIfBetter(record.epoch, measured);
    this.#progress = {
      ...this.#progress,
      epoch: p.epoch + 1,
      ...NOTHING_DONE,
      history: [...p.history, record],
      ...defined({ best }),
    };
    // Reported first: if the process dies in between, the epoch is done and reported again, and none is left out.
    await this.#options.onEpoch?.(record);
    await this.#save();
    return true;
  }

  async #validate(features: Features, epoch: number): Promise<ValidationResult | 'aborted'> {
    const { engine, onProgress, signal } = this.#options;
    const graph = withWeights(this.#graph, collectResultWeights(this.#weights));
    const report = (done: number, total: number, wait: ImageWait) =>
      onProgress?.({ phase: 'validate', epoch, done, total, ...wait });
    const measured = await validate(engine, graph, features, report, signal);
    return measured ? checkMeasured(measured) : 'aborted';
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
      { code: 'training-failed' },
    );
  }

  async #save(): Promise<void> {
    const { checkpoint, optimizer, schedule } = this.#options;
    if (checkpoint) {
      const tensors = listNamedArrays(this.#weights, optimizer);
      for (const [name, values] of tensors) {
        // A step whose gradients were finite may still have gone too far.
        if (!areFinite(values)) throw this.#notFinite(`"${name}" is not finite`, schedule(this.#progress.step));
      }
      this.#best.addTo(tensors);
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
        'The checkpoint belongs to another training: model, data or options differ. Start again without `resume`, or give the options it was started with.',
        { code: 'training-failed' },
      );
    }
    restoreArrays(listNamedArrays(this.#weights, this.#options.optimizer), state.tensors);
    this.#best.restore(state.tensors);
    this.#progress = state.progress;
    this.#hasCheckpoint = true;
  }
}

/** Slices of so many items each; the last holds the rest. */
function splitIntoSlices<T>(items: readonly T[], size: number): T[][] {
  const found: T[][] = [];
  for (let at = 0; at < items.length; at += size) found.push(items.slice(at, at + size));
  return found;
}

function computeMeans({ lossSum, correct, images }: TrainingProgress): {
  readonly loss: number;
  readonly top1: number;
} {
  return { loss: lossSum / images, top1: (100 * correct) / images };
}
