import type { PreprocessOptions } from '../../models/preprocessing.js';
import type { Task } from '../../ops/scores/scores.js';

/** Options of `openModel`. */
export interface OpenOptions {
  /** Architecture of a state dict; default: recognised from its keys and shapes. */
  readonly arch?: string;
  /**
   * Key of the weights to take from a checkpoint that holds several, such as `model_ema`, or the prefix of their names.
   * Default: the first that are not averaged.
   */
  readonly weights?: string;
  /**
   * `[height, width]` of the images; default: what the graph fixes, else what metadata or a configuration say, else the
   * architecture's usual size.
   */
  readonly inputSize?: readonly [number, number];
  /** Channels of the images, where the graph leaves them open. Default: derived from its first convolution, else 3. */
  readonly channels?: number;
  /** Order of the axes of the file's images. Default: derived from their sizes, else from the nodes that read them. */
  readonly layout?: 'nchw' | 'nhwc';
  /** The output that holds the scores. Default: derived from names, the end of the graph and what it is computed by. */
  readonly outputName?: string;
  /** What the model is for; a graph of one output column cannot tell. Default: `classification`. */
  readonly task?: Task;
  /** Preprocessing that replaces the file's. */
  readonly preprocess?: PreprocessOptions;
  /** How tensor-train layers of a state dict run. Default: `rebuilt`. */
  readonly execution?: 'factored' | 'rebuilt';
}
