import { z } from 'zod';

/** One epoch as it went. Losses in nats, top-1 in percent. */
export const epochSchema = z.object({
  epoch: z.number(),
  trainLoss: z.number(),
  trainTop1: z.number(),
  validationLoss: z.number().optional(),
  validationTop1: z.number().optional(),
  learningRate: z.number(),
  seconds: z.number(),
});

/** How far a training has come: everything that is not a tensor. */
export const progressSchema = z.object({
  /** What the training was started with; a checkpoint of another one is refused. */
  fingerprint: z.string(),
  /** Steps done in all. */
  step: z.number().int().nonnegative(),
  /** Epoch that is being worked on, from 0, and the steps of it that are done. */
  epoch: z.number().int().nonnegative(),
  stepOfEpoch: z.number().int().nonnegative(),
  /** Sums over the images of the running epoch. */
  lossSum: z.number(),
  correct: z.number(),
  images: z.number(),
  /** Seconds spent on the running epoch. */
  seconds: z.number(),
  history: z.array(epochSchema),
  /** What the model measured before the training. */
  before: z.object({ loss: z.number(), top1: z.number() }).optional(),
  /** The epoch of the best validation top-1, 0 for the model before the training. */
  kept: z.object({ epoch: z.number(), loss: z.number(), top1: z.number() }).optional(),
  /** The epoch of the lowest validation loss, for `patience`. */
  best: z.object({ epoch: z.number(), loss: z.number() }).optional(),
});

/** One epoch of a training's history. */
export type EpochRecord = z.infer<typeof epochSchema>;
/** The numbers of a checkpoint. */
export type TrainingProgress = z.infer<typeof progressSchema>;

/** Holds a training that can be resumed. */
export interface TrainingState {
  readonly progress: TrainingProgress;
  /** Parameters, statistics, optimizer state (`adam/m/NAME`) and best parameters (`best/NAME`), by name. */
  readonly tensors: ReadonlyMap<string, Float32Array>;
}

/** Where checkpoints are kept. */
export interface CheckpointStore {
  /** Loads the newest state, where there is one. */
  load(): Promise<TrainingState | undefined>;
  /** Saves a state in place of the last. */
  save(state: TrainingState): Promise<void>;
}
