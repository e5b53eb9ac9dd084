/**
 * Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391).
 *
 * For the score s of the target class and the activations A of a layer, alpha_c = mean over positions of ds/dA_c and
 * map = ReLU(sum_c alpha_c A_c). The score is the model's own output for the class. One graph computes scores,
 * activations and gradients for a whole batch; images do not interact, so the batch's scores are summed before the one
 * backward pass. Only the part of the graph after the layer is differentiated.
 */
import { appendGradients } from '../autodiff/gradient.js';
import type { Engine, Session } from '../engine/engine.js';
import { ShiboriError, UsageError } from '../errors.js';
import { formatDims } from '../graph/dims.js';
import type { Graph, Value } from '../graph/model.js';
import { findLayer, layersOf } from '../graph/module-path.js';
import { bindInputs, startRewrite } from '../passes/rewrite.js';
import { expectFloat32, float32, int64, type Tensor } from '../tensor/tensor.js';
import { finishMaps, gradCamMaps } from './map.js';

/** Operators whose output is an activation in the sense of Grad-CAM: features, not yet pooled away. */
const activations = new Set([
  'Relu',
  'LeakyRelu',
  'Clip',
  'Sigmoid',
  'Tanh',
  'Mul',
  'Add',
  'Concat',
  'Conv',
  'BatchNormalization',
]);

/** The class score of one image, and the map that explains it. */
export interface Explanation {
  /** Class with the highest score. */
  readonly predicted: number;
  /** Class that the map explains. */
  readonly target: number;
  /** The model's outputs for this image, `[classes]`. */
  readonly scores: Float32Array;
  /** `[H, W]` at the input's size, 0 … 1. */
  readonly map: Tensor<'float32'>;
}

/** Explains batches of images for one layer. */
export interface Explainer {
  /** Module path of the layer. */
  readonly layer: string;
  /** Number of classes. */
  readonly classes: number;
  /**
   * @param images `[N, C, H, W]` float32, preprocessed.
   * @param targets class per image; `undefined` explains the predicted class.
   * @throws UsageError for a class out of range.
   */
  explain(images: Tensor<'float32'>, targets?: readonly (number | undefined)[]): Promise<Explanation[]>;
  /** Gives the memory of its sessions back. */
  dispose(): Promise<void>;
}

function isSpatial(value: Value): boolean {
  const dims = value.type?.dims;
  return dims?.length === 4 && dims.slice(2).every((size) => typeof size === 'number') && dims[2] !== 1;
}

/** The layers that have a map: activations `[N, C, H, W]` with more than one row, in order of execution. */
export function spatialLayers(graph: Graph): string[] {
  return layersOf(graph).flatMap((layer) => (isSpatial(layer.output) ? [layer.path] : []));
}

/**
 * The layer Grad-CAM looks at by default: the last spatial activation that is not itself a pooling.
 *
 * @throws UsageError when the graph has no spatial activation.
 */
export function defaultLayer(graph: Graph): string {
  const last = layersOf(graph).findLast(
    (layer) => isSpatial(layer.output) && activations.has(layer.nodes.at(-1)?.op ?? ''),
  );
  if (last) return last.path;
  throw new UsageError('This model has no spatial activation that Grad-CAM could look at. Name a layer with --layer.');
}

function explainingGraph(graph: Graph, layer: string, batch: number): { graph: Graph; classes: number } {
  const input = graph.inputs[0];
  if (!input?.type) throw new ShiboriError('The model has no typed input to feed images to.');
  const bound = bindInputs(graph, { [input.name]: [batch, ...input.type.dims.slice(1)] });
  const activation = findLayer(bound, layer).output;
  if (!isSpatial(activation)) {
    throw new UsageError(
      `Layer "${layer}" gives ${formatDims(activation.type?.dims)}: Grad-CAM needs [N, C, H, W]. Layers that have it: ${spatialLayers(bound).slice(-8).join(', ')}.`,
    );
  }
  const scores = bound.outputs[0];
  const classes = scores?.type?.dims[1];
  if (scores?.type?.dims.length !== 2 || typeof classes !== 'number') {
    throw new ShiboriError(
      `The model's first output is ${formatDims(scores?.type?.dims)}: a classifier gives [N, classes].`,
    );
  }
  const { builder: b, of } = startRewrite(bound, { outputs: [scores, activation] });
  b.scope = 'grad-cam';
  const target = b.input('target', 'int64', [batch]);
  const predicted = b.op('ArgMax', [of(scores)], { axis: 1, keepdims: 0 });
  const chosen = b.op('Where', [b.op('Less', [target, b.scalar(0, 'int64')]), predicted, target]);
  const values = b.initializer('constant/one-hot', float32([0, 1]));
  const oneHot = b.op('OneHot', [chosen, b.ints([classes]), values], { axis: 1 });
  const score = b.op('ReduceSum', [b.op('Mul', [of(scores), oneHot])], { keepdims: 0 });
  const a = of(activation);
  const gradient = appendGradients(b, score, [a]).get(a);
  b.output(b.op('Identity', [of(scores)], {}, { outputName: 'grad-cam/scores' }));
  b.output(b.op('Identity', [chosen], {}, { outputName: 'grad-cam/target' }));
  b.output(b.op('Identity', [a], {}, { outputName: 'grad-cam/activation' }));
  b.output(b.op('Identity', [gradient], {}, { outputName: 'grad-cam/gradient' }));
  return { graph: b.build('grad-cam'), classes };
}

/**
 * Prepares Grad-CAM for a graph.
 *
 * @param options.layer module path, or a unique suffix of one. Default: the last spatial activation.
 */
export async function gradCam(
  engine: Engine,
  graph: Graph,
  options: { readonly layer?: string } = {},
): Promise<Explainer> {
  const layer = options.layer === undefined ? defaultLayer(graph) : findLayer(graph, options.layer).path;
  const input = graph.inputs[0];
  const inputName = input?.name ?? '';
  const { classes } = explainingGraph(graph, layer, 1);
  // One session for each batch size in use: the full one and the last, smaller one.
  const sessions = new Map<number, Promise<Session>>();
  const sessionFor = (batch: number): Promise<Session> => {
    let session = sessions.get(batch);
    if (!session) {
      session = engine.load(explainingGraph(graph, layer, batch).graph);
      sessions.set(batch, session);
    }
    return session;
  };
  return {
    layer,
    classes,
    async explain(images, targets = []) {
      const [batch = 0, , height = 0, width = 0] = images.dims;
      const wanted = Array.from({ length: batch }, (_, i) => targets[i] ?? -1);
      for (const target of wanted) {
        if (target >= classes || target < -1 || !Number.isInteger(target)) {
          throw new UsageError(`Class ${target} is out of range: the model has classes 0 to ${classes - 1}.`);
        }
      }
      const session = await sessionFor(batch);
      const results = await session.run({ [inputName]: images, target: int64(wanted) });
      const scores = expectFloat32(results['grad-cam/scores'], 'Grad-CAM scores');
      const activation = expectFloat32(results['grad-cam/activation'], 'Grad-CAM activations');
      const gradient = expectFloat32(results['grad-cam/gradient'], 'Grad-CAM gradients');
      const maps = finishMaps(gradCamMaps(activation, gradient), height, width);
      const chosen = results['grad-cam/target'];
      const size = height * width;
      return wanted.map((_, i) => {
        const own = scores.data.slice(i * classes, (i + 1) * classes);
        return {
          predicted: own.indexOf(own.reduce((best, value) => Math.max(best, value), Number.NEGATIVE_INFINITY)),
          target: Number(chosen?.data[i]),
          scores: own,
          map: float32(maps.data.slice(i * size, (i + 1) * size), [height, width]),
        };
      });
    },
    async dispose() {
      for (const session of sessions.values()) await (await session).dispose();
      sessions.clear();
    },
  };
}
