import type { Tensor } from '../tensor/tensor.js';

/** Images with labels that a training draws from. */
export interface TrainingData {
  readonly count: number;
  /** Class of each image; −1 leaves it out of the loss (an image that turned out to be unreadable). */
  readonly labels: Int32Array;
  /** Preprocessed images `[n, C, H, W]`; the same view gives the same pixels every time. View 0 of validation data is the image as it is. */
  images(indices: readonly number[], view: number): Promise<Tensor<'float32'>>;
  /** How many batches it pays to ask for before they are needed. Default: 1. */
  readonly ahead?: number;
}
