import { ShiboriError } from '../errors.js';
import { type Tensor, tensor } from '../tensor/tensor.js';

/** Mean negative log-likelihood (nats) and top-1 (percent) on the validation images. */
export interface ValidationResult {
  readonly loss: number;
  readonly top1: number;
}

/** An epoch with what it measured; 0 is the model before the training. */
export interface MeasuredEpoch extends ValidationResult {
  readonly epoch: number;
}

/** Whether a measurement is better: a higher top-1, and for equal ones a lower loss. */
export function isBetter(measured: ValidationResult, best: ValidationResult | undefined): boolean {
  if (best === undefined || measured.top1 > best.top1) return true;
  return measured.top1 === best.top1 && measured.loss < best.loss;
}

/**
 * Checks that something was measured.
 *
 * @throws ShiboriError when no validation image could be read.
 */
export function checkMeasured(measured: ValidationResult): ValidationResult {
  if (!Number.isNaN(measured.top1)) return measured;
  throw new ShiboriError(
    'Not one validation image could be read: the best epoch cannot be chosen. Train without validation images, or give others.',
    { code: 'training-failed' },
  );
}

/** Prefix of the best parameters' names in a checkpoint. */
const PREFIX = 'best/';

/** Copies of the parameters and running statistics of the best epoch. */
export class BestWeights {
  #arrays = new Map<string, Float32Array>();

  /** Copies the current weights. */
  set(weights: ReadonlyMap<string, Tensor<'float32'>>): void {
    this.#arrays = new Map([...weights].map(([name, { data }]) => [name, data.slice()]));
  }

  /** The copied weights in place of the current ones. */
  apply(current: ReadonlyMap<string, Tensor<'float32'>>): Map<string, Tensor<'float32'>> {
    return new Map(
      [...current].map(([name, now]) => {
        const best = this.#arrays.get(name);
        return [name, best ? tensor('float32', now.dims, best) : now];
      }),
    );
  }

  /** Adds the copies to the arrays of a checkpoint. */
  addTo(arrays: Map<string, Float32Array>): void {
    for (const [name, values] of this.#arrays) arrays.set(`${PREFIX}${name}`, values);
  }

  /** Takes the copies from the arrays of a checkpoint. */
  restore(arrays: ReadonlyMap<string, Float32Array>): void {
    for (const [name, values] of arrays) {
      if (name.startsWith(PREFIX)) this.#arrays.set(name.slice(PREFIX.length), values);
    }
  }
}
