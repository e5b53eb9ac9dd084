import { formatSuggestion, ShiboriError, UsageError } from '../errors.js';
import type { Graph } from '../graph/model.js';
import type { StateDict } from './state-dict.js';
import { type BuildOptions, buildVgg, findVggPrefix, hasLogSoftmax } from './vgg.js';

/** A family of networks that can be built from a state dict. */
export interface Architecture {
  readonly name: string;
  /** Whether the keys and shapes are this architecture's. */
  recognises(tensors: StateDict): boolean;
  /** The input size the published models of this family take, `[height, width]`. */
  getDefaultInputSize(tensors: StateDict): readonly [number, number];
  build(tensors: StateDict, options: BuildOptions): Graph;
  /** What fine-tuning trains by default. */
  readonly headPattern: string;
}

const vgg: Architecture = {
  name: 'vgg',
  recognises: (tensors) => findVggPrefix(tensors) !== undefined,
  // The reference VGG16 has batch norms in its classifier and takes 64×64; torchvision's takes 224×224.
  getDefaultInputSize: (tensors) => (hasLogSoftmax(tensors, findVggPrefix(tensors) ?? '') ? [64, 64] : [224, 224]),
  build: buildVgg,
  headPattern: 'classifier.*',
};

/** All architectures that state dicts are recognised as. */
export const architectures: readonly Architecture[] = [vgg];

/**
 * The architecture of a state dict: the one named, or the one its keys and shapes fit.
 *
 * @throws UsageError for an unknown name, ShiboriError when nothing fits.
 */
export function findArchitecture(tensors: StateDict, file: string, name?: string): Architecture {
  const names = architectures.map((architecture) => architecture.name);
  if (name !== undefined && !names.includes(name)) {
    throw new UsageError(
      `No architecture is called "${name}".${formatSuggestion(name, names)} Known: ${names.join(', ')}.`,
    );
  }
  const fitting = architectures.find((architecture) => {
    return (name === undefined || architecture.name === name) && architecture.recognises(tensors);
  });
  if (fitting) return fitting;
  throw createUnknownArchitectureError(tensors, file, name === undefined ? names : [name]);
}

/** Names are shown up to this number: first and last ones tell a network best. */
const SHOWN_TENSORS = 6;

/** The error for weights whose network is not known: what they are, and how to get a file that holds its network. */
function createUnknownArchitectureError(tensors: StateDict, file: string, names: readonly string[]): ShiboriError {
  const all = [...tensors].map(([name, { dims }]) => `${escapeTensorName(name)} [${dims.join(', ')}]`);
  const some = all.length <= SHOWN_TENSORS ? all : [...all.slice(0, SHOWN_TENSORS - 2), '…', ...all.slice(-2)];
  const channels = [...tensors.values()].find(({ dims }) => dims.length === 4)?.dims[1] ?? 3;
  const onnx = `${(file.split(/[\\/]/).at(-1) ?? file).replace(/\.\w+$/, '')}.onnx`;
  return new ShiboriError(
    `Reading ${file}: its ${all.length} tensors (${some.join(', ')}) are weights without a network. ` +
      `The architecture${names.length === 1 ? '' : 's'} that can be built from weights alone, ${names.join(', ')}, ` +
      `${names.length === 1 ? 'does' : 'do'} not have these names and shapes. Export the model to ONNX, which holds its ` +
      'network, in Python where its class is, with images of its size:\n' +
      `  torch.onnx.export(model.eval(), torch.randn(1, ${channels}, 224, 224), "${onnx}", input_names=["input"],\n` +
      '    output_names=["logits"], dynamic_axes={"input": {0: "N"}, "logits": {0: "N"}})',
    { code: 'unsupported-model' },
  );
}

/** A name of a file for a message: without control characters, of bounded length. */
function escapeTensorName(name: string): string {
  return JSON.stringify(name.slice(0, 80)).slice(1, -1);
}
