import type { Graph } from '../../graph/model.js';
import type { ModelInfo } from '../../models/metadata.js';
import {
  PREPROCESS_PARTS,
  type PreprocessSource,
  type ResolvedPreprocess,
  toPreprocessParts,
} from '../../models/preprocessing.js';
import { describeScores } from '../../ops/scores/scores.js';
import { defined } from '../../values.js';
import type { ModelConfigs } from './config-files.js';

/** Holds model information with preprocessing, and the source of each part. */
export interface Preprocessed {
  readonly info: ModelInfo;
  /** Where each part of `info.preprocess` comes from. */
  readonly preprocessFrom?: ResolvedPreprocess['from'];
}

/**
 * Lists the sources of a model's preprocessing other than options, the strongest first. A guess stored in a file
 * is a guess still, and comes last; but it is the same one, whatever the written graph looks like.
 */
export function listKnownLayers(
  { preprocess, guessed }: ModelInfo,
  configs: ModelConfigs,
): readonly PreprocessSource[] {
  if (!preprocess) return configs.layers;
  const known = PREPROCESS_PARTS.filter((part) => !guessed?.includes(part));
  return [
    { from: 'metadata', parts: toPreprocessParts(preprocess, guessed) },
    ...configs.layers,
    { from: 'guess', parts: toPreprocessParts(preprocess, known) },
  ];
}

/** A model's information with its preprocessing and classes. `notes` lists files that describe another model. */
export function applyPreprocess(
  graph: Graph,
  info: ModelInfo,
  configs: ModelConfigs,
  resolved: ResolvedPreprocess | undefined,
  notes: string[],
): Preprocessed {
  const { preprocess: _, guessed: __, ...rest } = info;
  const [height, width] = resolved?.preprocess.size ?? [];
  for (const { from, parts } of resolved ? configs.layers : []) {
    if (!parts.size || (parts.size[0] === height && parts.size[1] === width)) continue;
    notes.push(`${from} is for images of ${parts.size[1]}×${parts.size[0]} pixels, used are ${width}×${height}.`);
  }
  const count = describeScores(graph, info)?.classes;
  const named = info.classes ? undefined : configs.classes;
  const fits = named !== undefined && named.names.length === count;
  if (named && !fits && !named.isGuess)
    notes.push(`${named.file} names ${named.names.length} classes, the model has ${count}: not used.`);
  const guessed = PREPROCESS_PARTS.filter((part) => resolved?.from[part] === 'guess');
  return {
    info: {
      ...rest,
      ...(fits && { classes: named.names }),
      ...defined({ preprocess: resolved?.preprocess }),
      ...(guessed.length > 0 && { guessed }),
    },
    ...defined({ preprocessFrom: resolved?.from }),
  };
}
