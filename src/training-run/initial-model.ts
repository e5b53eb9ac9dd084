import { existsSync } from 'node:fs';
import { extname } from 'node:path';
import type { RunContext } from '../context/run-context.js';
import { UsageError } from '../errors.js';
import { listParameters } from '../graph/parameters.js';
import type { Dataset } from '../images/open-dataset.js';
import { type LoadedModel, type OpenedModel, type OpenOptions, openModel } from '../io/models/model-file.js';
import { listHeadParameters, withFreshHead } from '../models/fresh-head.js';
import { buildInitialVgg, findVggShape, withCompactHead } from '../models/initial-vgg.js';
import { reinitialize } from '../models/initialize.js';
import { buildStateDict } from '../models/state-dict.js';
import { findVggPrefix } from '../models/vgg.js';
import { findScores } from '../ops/scores/scores.js';
import type { TrainPlan } from '../recipes/training-schema.js';

/** What the model of a training begins as, of which its stages are no part. */
export type InitialModelPlan = Pick<TrainPlan, 'head' | 'init'> & { readonly seed: number };

const countHeadClasses = (head: TrainPlan['head'], dataset: Dataset): number =>
  typeof head === 'number' ? head : dataset.source.classes.length;

/**
 * Opens a model file, or makes the network of a name (`vgg16_bn`) with fresh parameters for the classes of the data.
 *
 * @param options.inputSize of a network that is made. Default: 224×224.
 * @throws UsageError for a name that is neither a file's nor a network's.
 */
export async function openOrCreateModel(
  name: string,
  { head, seed }: InitialModelPlan,
  dataset: Dataset,
  options: OpenOptions,
): Promise<LoadedModel & Pick<OpenedModel, 'notes'> & { readonly isFresh?: boolean }> {
  if (existsSync(name) || extname(name) !== '') return openModel(name, options);
  const [height = 224, width = 224] = options.inputSize ?? [];
  if (height !== width) throw new UsageError(`${name} is made for square images, found ${height}×${width}.`);
  const shape = findVggShape(name, countHeadClasses(head, dataset), height);
  // Hidden layers that another head is going to replace do not need a hundred million random numbers.
  const graph = buildInitialVgg(head === 'compact' ? { ...shape, classifier: [] } : shape, seed);
  const classes = dataset.source.classes.map((found) => found.name);
  return { graph, info: { architecture: 'vgg', classes }, notes: [], isFresh: true };
}

/** Replaces the last layer, or a VGG's classifier. */
function replaceHead(
  { graph, info }: LoadedModel,
  head: NonNullable<TrainPlan['head']>,
  classes: number,
  seed: number,
): { readonly graph: LoadedModel['graph']; readonly parameters: readonly string[] } {
  if (head !== 'compact') return withFreshHead(graph, classes, seed);
  const state = buildStateDict(graph);
  const prefix = findVggPrefix(state);
  const [height, width] = graph.inputs[0]?.type?.dims.slice(-2) ?? [];
  if (prefix === undefined || typeof height !== 'number' || typeof width !== 'number') {
    throw new UsageError(
      `The compact head is for a VGG with a fixed input; this is ${info.architecture ?? 'another network'}. Use \`head: 'auto'\`.`,
      { option: 'head' },
    );
  }
  const fresh = withCompactHead(state, classes, seed, [height, width]);
  const names = listParameters(fresh).flatMap(({ name, kind }) => (kind === 'parameter' ? [name] : []));
  return { graph: fresh, parameters: names.filter((name) => name.startsWith(`${prefix}classifier.`)) };
}

/**
 * The model that a training begins with: a fresh head, or everything fresh, as the plan says.
 *
 * @returns the model, whether parameters of it are untrained, and what the pattern `head` stands for: its last layer's parameters.
 */
export function prepareInitialModel(
  model: LoadedModel,
  { head, init, seed }: InitialModelPlan,
  dataset: Dataset,
  context: RunContext,
): { readonly model: LoadedModel; readonly isFresh: boolean; head(): readonly string[] } {
  let { graph, info } = model;
  let parameters: readonly string[] | undefined;
  if (head !== undefined) {
    ({ graph, parameters } = replaceHead(model, head, countHeadClasses(head, dataset), seed));
    const names = dataset.source.classes.map(({ name }) => name);
    const { classes: _, ...rest } = info;
    info = names.length === findScores(graph).classes ? { ...rest, classes: names } : rest;
  }
  if (init === 'scratch') {
    const { graph: fresh, kept } = reinitialize(graph, seed);
    graph = fresh;
    if (kept.length > 0)
      context.onWarning?.(`kept as they are, since nothing tells what they are for: ${kept.join(', ')}`);
  }
  const isFresh = head !== undefined || init === 'scratch';
  return { model: { ...model, graph, info }, isFresh, head: () => parameters ?? listHeadParameters(graph) };
}
