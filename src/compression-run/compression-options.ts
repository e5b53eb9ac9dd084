import type { RunOptions } from '../context/run-context.js';
import type { DataOptions, DataSource, ValidationOptions } from '../images/open-dataset.js';
import type { OpenOptions } from '../io/models/model-file.js';
import type { ModelSource } from '../io/models/model-source.js';
import type { RankPlan } from '../recipes/recipe.js';
import { defined } from '../values.js';
import type { CompressionSettings, Goal, SweepLimits } from './compression-plan.js';

/** Lists the options that every compression has. Options of opening apply to model files alone. */
export interface CompressModelOptions extends RunOptions, OpenOptions {
  /** The model to compress: a file, or a model that is open already. It is not changed. */
  readonly model: ModelSource;
}

/** Lists the options of images. Those of choosing apply to images that are not open already. */
export interface CompressImageOptions extends Omit<DataOptions, 'data'>, ValidationOptions {
  /** Calibration and training images: a folder, an archive, a built-in name, or an opened data set. */
  readonly data: DataSource;
  /** Validation images. Default: the part `val` or `test` of `data`, else a seeded tenth of it is split off. */
  readonly validationData?: DataSource;
  /** A folder for what is computed on the way: the same call resumes there. Default: nothing is kept. */
  readonly work?: string;
  /** Starts over, whatever is kept in `work`. Default: false. */
  readonly fresh?: boolean;
}

/** Lists the options of `compress` to a goal that is measured on images. */
export interface CompressToGoalOptions extends CompressModelOptions, CompressImageOptions, CompressionSettings {
  readonly goal: Goal;
  /** The ONNX file to write. Default: none. */
  readonly output?: string;
  /** A folder for `report.html`, `report.json` and `figures/`. Default: no report. */
  readonly report?: string;
}

/** Lists the options of `compress` to a goal by the weights alone. */
export interface CompressByWeightsOptions extends CompressModelOptions, CompressionSettings {
  readonly goal: Goal;
  /** Leave out, or give images, see {@link CompressToGoalOptions}. */
  readonly data?: undefined;
  /** The ONNX file to write. Default: none. */
  readonly output?: string;
}

/** Describes how one linear layer is decomposed into a tensor train. */
export interface LayerRanks {
  /** Default: `tt`. */
  readonly layout?: 'tt' | 'tt-matrix';
  /** Modes whose product is the number of inputs, and of outputs. */
  readonly in: readonly number[];
  readonly out: readonly number[];
  /** Inner ranks, one fewer than cores. Default: full rank, nothing is lost. */
  readonly ranks?: readonly number[];
}

/** Lists the options of `compress` with given ranks: `ranks` or `plan`. */
export interface CompressWithRanksOptions extends CompressModelOptions {
  /** Layers by module path or unique suffix. */
  readonly ranks?: Readonly<Record<string, LayerRanks>>;
  /** A YAML plan, or what `rankPlanSchema` makes of one: it also states how the layers run, `ranks` take the faster way. */
  readonly plan?: string | RankPlan;
  /** Patterns of the parameters that count as trainable. Default: the architecture's head. */
  readonly train?: readonly string[];
  /** The ONNX file to write. Default: none. */
  readonly output?: string;
}

/** Lists the options of `sweep`. */
export interface SweepOptions
  extends CompressModelOptions,
    CompressImageOptions,
    Omit<CompressionSettings, 'allowSlower' | 'minMapSimilarity'> {
  /** Default: 3, 5, 7, 10, 15, 25, 40 and 60 % of the parameters. */
  readonly limits?: SweepLimits;
  /** A folder for the compressed models. Default: none is written, the result holds them. */
  readonly output?: string;
  /** A folder for `report.html`, `report.json` and `figures/`. Default: no report. */
  readonly report?: string;
  /**
   * Models made at once, in threads. Default: as many as the machine has cores and memory for where `model` and `data` are
   * names and `output` and `work` are given, else 1.
   */
  readonly jobs?: number;
}

/** Picks the settings of a compression from its options. */
export function pickSettings(options: CompressionSettings): CompressionSettings {
  const { layers, schemes, calibrationImages, minMapSimilarity, mapImages, rounds } = options;
  const { finetuneEpochs, control, baselinePlan, store, allowSlower, seed } = options;
  return defined({
    layers,
    schemes,
    calibrationImages,
    minMapSimilarity,
    mapImages,
    rounds,
    finetuneEpochs,
    control,
    baselinePlan,
    store,
    allowSlower,
    seed,
  });
}
