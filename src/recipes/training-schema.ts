import { z } from 'zod';
import { buildChoiceSchema } from '../train/named-options.js';
import { optimizers } from '../train/optimizers.js';
import { DEFAULT_LEARNING_RATE, schedules } from '../train/schedules.js';

/** Checks a whole number of at least 1. */
export const positiveIntegerSchema = z.number().int().positive();
const fractionSchema = z.number().min(0).lt(1);

/** A schema that takes a bare number for its most important key: `clip: 1` is `clip: { norm: 1 }`. */
function acceptNumberAs<S extends z.ZodObject>(key: string, schema: S) {
  return z.preprocess((value) => (typeof value === 'number' ? { [key]: value } : value), schema);
}

const augmentSchema = z.strictObject({
  randomResizedCrop: z
    .strictObject({
      /** Side of the result in pixels. Default: the model's input. */
      size: positiveIntegerSchema.optional(),
      scale: z.tuple([z.number().positive(), z.number().positive()]),
      ratio: z.tuple([z.number().positive(), z.number().positive()]).default([3 / 4, 4 / 3]),
    })
    .optional(),
  horizontalFlip: z.number().min(0).max(1).optional(),
  colorJitter: z
    .strictObject({ saturation: z.number().nonnegative().default(0), hue: z.number().min(0).max(0.5).default(0) })
    .optional(),
});

const fields = {
  /** Patterns of the trained parameters; `head` is the last layer. */
  train: z
    .union([z.string(), z.array(z.string())], { error: 'expected a pattern of parameters, or a list of them' })
    .optional(),
  epochs: positiveIntegerSchema.default(1),
  /** Images computed at once. */
  batch: positiveIntegerSchema.default(64),
  /** Batches whose gradients make one step. */
  accumulate: positiveIntegerSchema.default(1),
  optimizer: buildChoiceSchema('optimizer', optimizers).default({ name: 'adam' }),
  /** One rate, or base and peak of a cycle. */
  learningRate: z
    .union([z.number().positive(), z.tuple([z.number().positive(), z.number().positive()])], {
      error: 'expected a number above 0, or a list of base and peak',
    })
    .default(DEFAULT_LEARNING_RATE),
  /** What the learning rate of the parameters that fit a pattern is multiplied with; the last pattern that fits counts. */
  rates: z.record(z.string(), z.number().nonnegative()).optional(),
  /** Default: `constant` for one learning rate, `triangular2` for two. */
  schedule: buildChoiceSchema('schedule', schedules).optional(),
  /** What schedule and warm-up count. */
  per: z.enum(['step', 'epoch']).default('step'),
  warmUp: acceptNumberAs(
    'steps',
    z.strictObject({
      steps: positiveIntegerSchema,
      startFactor: z
        .number()
        .min(0)
        .max(1)
        .default(1 / 3),
    }),
  ).optional(),
  /** Short for the option of the cyclic schedules. */
  stepSizeUp: positiveIntegerSchema.optional(),
  /** Default: the optimizer's own, which is none but for `adamw`. */
  weightDecay: acceptNumberAs(
    'value',
    z.strictObject({
      value: z.number().nonnegative(),
      /** Patterns of the parameters that do not decay. */
      except: z.array(z.string()).default([]),
      /** Whether biases and the scales of normalisations decay. */
      vectors: z.boolean().default(true),
    }),
  ).optional(),
  clip: acceptNumberAs(
    'norm',
    z.strictObject({ norm: z.number().positive().optional(), value: z.number().positive().optional() }),
  ).optional(),
  labelSmoothing: fractionSchema.default(0),
  /** Moving averages of the weights, which are validated and saved. */
  ema: acceptNumberAs('decay', z.strictObject({ decay: fractionSchema, warmUp: z.boolean().default(true) })).optional(),
  batchNorm: z.enum(['train', 'frozen']).default('train'),
  /** `false`: Dropout passes everything on. */
  dropout: z.boolean().default(true),
  /** What is learnt from a teacher, see `train/distillation.ts`; weights of three terms, and the layer of two of them. */
  distill: z
    .strictObject({
      labels: z.number().min(0).max(1).default(0),
      features: z.number().nonnegative().default(0),
      maps: z.number().nonnegative().default(0),
      /** Default: the one that Grad-CAM looks at. */
      layer: z.string().optional(),
    })
    .optional(),
  seed: z.number().int().nonnegative().default(42),
  augment: augmentSchema.optional(),
  views: positiveIntegerSchema.optional(),
  patience: positiveIntegerSchema.optional(),
  /** Which weights are the result: of the best epoch on the validation images, the untrained model included, or of the last. */
  keep: z.enum(['best', 'last']).default('best'),
};

/** How a model is trained: one stage. Learning rates per step; see the library's `finetune` for units and defaults. */
export const finetuneSchema = z.strictObject(fields);

/** The same fields, none of them needed: what is left out is taken from elsewhere. */
const partial: Readonly<Record<string, z.ZodType>> = Object.fromEntries(
  Object.entries(fields).map(([name, field]): [string, z.ZodType] => [
    name,
    field instanceof z.ZodDefault ? z.optional(field.unwrap()) : field,
  ]),
);

/**
 * A whole training: what the model begins as, and its stages one after the other. What stands next to `stages` holds for
 * each of them that does not say otherwise; without `stages` there is one.
 */
export const trainSchema = z
  .strictObject({
    ...partial,
    /** A fresh last layer: a number of classes, `auto` for as many as the data has, `compact` for a small classifier. */
    head: z
      .union([positiveIntegerSchema, z.enum(['auto', 'compact', 'study'])], {
        error: 'expected a number of classes, auto or compact',
      })
      // The old name.
      .transform((head) => (head === 'study' ? 'compact' : head))
      .optional(),
    /** `scratch`: every parameter is drawn again. */
    init: z.enum(['pretrained', 'scratch']).default('pretrained'),
    stages: z.array(z.strictObject(partial)).min(1).optional(),
  })
  .transform(({ head, init, stages = [{}], ...common }) => ({
    head,
    init,
    // Every stage has streams of its own: the order of its first epoch is not that of the stage before.
    stages: stages.map((stage, i) => {
      const plan = finetuneSchema.parse({ train: '*', ...common, ...stage });
      return 'seed' in stage ? plan : { ...plan, seed: plan.seed + i };
    }),
  }));

/** One stage of a training, or fine-tuning as declared in a recipe. */
export type FinetunePlan = z.infer<typeof finetuneSchema>;
/** A training, parsed and with its defaults. */
export type TrainPlan = z.infer<typeof trainSchema>;
/** Describes a stage as it is written: what has a default may be left out. */
export type FinetunePlanInput = z.input<typeof finetuneSchema>;
/** Describes a training as it is written: what has a default may be left out. Fields alongside `stages` hold for each. */
export type TrainPlanInput = FinetunePlanInput & {
  readonly head?: TrainPlan['head'];
  readonly init?: TrainPlan['init'];
  readonly stages?: readonly FinetunePlanInput[];
};

/** Returns a fine-tuning as a training: one stage, which begins with the model as it is. */
export const toTrainPlan = (stage: FinetunePlan): TrainPlan => ({
  head: undefined,
  init: 'pretrained',
  stages: [stage],
});
