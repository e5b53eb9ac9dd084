import { ShiboriError, suggestion, UsageError } from '../errors.js';
import type { Graph } from '../graph/model.js';
import type { StateDict } from './state-dict.js';
import { type BuildOptions, buildVgg, hasLogSoftmax, vggPrefix } from './vgg.js';

/** A family of networks that can be built from a state dict. */
export interface Architecture {
  readonly name: string;
  /** Whether the keys and shapes are this architecture's. */
  recognises(tensors: StateDict): boolean;
  /** The input size the published models of this family take, `[height, width]`. */
  defaultInputSize(tensors: StateDict): readonly [number, number];
  build(tensors: StateDict, options: BuildOptions): Graph;
  /** What fine-tuning trains unless told otherwise. */
  readonly head: string;
}

const vgg: Architecture = {
  name: 'vgg',
  recognises: (tensors) => vggPrefix(tensors) !== undefined,
  // The study's VGG16 has batch norms in its classifier and takes 64×64; torchvision's takes 224×224.
  defaultInputSize: (tensors) => (hasLogSoftmax(tensors, vggPrefix(tensors) ?? '') ? [64, 64] : [224, 224]),
  build: buildVgg,
  head: 'classifier.*',
};

/** All architectures that state dicts are recognised as. */
export const architectures: readonly Architecture[] = [vgg];

/**
 * The architecture of a state dict: the one named, or the one its keys and shapes fit.
 *
 * @throws UsageError for an unknown name, ShiboriError when nothing fits.
 */
export function architectureOf(tensors: StateDict, file: string, name?: string): Architecture {
  const names = architectures.map((architecture) => architecture.name);
  if (name !== undefined) {
    const named = architectures.find((architecture) => architecture.name === name);
    if (named) return named;
    throw new UsageError(`No architecture is called "${name}".${suggestion(name, names)} Known: ${names.join(', ')}.`);
  }
  const fitting = architectures.find((architecture) => architecture.recognises(tensors));
  if (fitting) return fitting;
  const keys = [...tensors.keys()].slice(0, 4).join(', ');
  throw new ShiboriError(
    `Reading ${file}: its keys (${keys}, …) fit no known architecture (${names.join(', ')}). Export the model to ONNX, which carries its own graph, or name one with --arch.`,
  );
}
