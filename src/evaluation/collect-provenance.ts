/** Collects what the figures of a report depend on. */

import { arch, cpus, platform, release } from 'node:os';
import type { RunContext } from '../context/run-context.js';
import { getRuntimeVersion } from '../engine/node.js';
import { type Dataset, requirePreprocess } from '../images/open-dataset.js';
import { hashFile } from '../io/file-hash.js';
import type { LoadedModel, OpenedModel } from '../io/models/model-file.js';
import { readPackageVersion } from '../io/package-version.js';
import { describePreprocess } from '../models/preprocessing.js';
import type { DataOrigin, FileOrigin, ModelOrigin, Provenance } from '../report/provenance-html.js';
import { defined } from '../values.js';

/** A model of a report. */
export interface ReportedModel {
  readonly name: string;
  readonly model: LoadedModel;
  /** Where it was read from or written to, see {@link listModelFiles}; none for a model that exists in memory only. */
  readonly files: readonly string[];
}

/** Describes how images become the input of a model, and which parts of that are guesses. */
export function formatPreprocess({ graph, info }: LoadedModel): string {
  const { size, resize, filter, color, normalization } = describePreprocess(requirePreprocess(graph, info));
  const guessed = info.guessed ?? [];
  const guess = guessed.length > 0 ? `; guessed: ${guessed.join(', ')}` : '';
  return `${size} (${resize}, ${filter}), ${color}, ${normalization}${guess}`;
}

/** Describes the images that figures were measured on, or that something was learnt from. */
export function buildDataOrigin(use: string, { source, sample }: Dataset, images: number): DataOrigin {
  const part = sample && `drawn from ${sample.of} by seed ${sample.seed}`;
  return { use, name: source.name, ...defined({ part }), images };
}

/** Lists the files that a model was read from: its own, and those with its external data. */
export const listModelFiles = ({ file, origin }: OpenedModel): string[] => [file, ...(origin?.externalFiles ?? [])];

async function buildModelOrigin({ name, model, files }: ReportedModel): Promise<ModelOrigin> {
  const hashes: FileOrigin[] = [];
  for (const file of files) hashes.push(await hashFile(file));
  return { name, files: hashes, preprocess: formatPreprocess(model) };
}

/**
 * Collects the provenance of a report: hashes of the model files, versions, machine, date.
 *
 * @throws ShiboriError when a model file is not there any more.
 */
export async function collectProvenance(
  what: { readonly models: readonly ReportedModel[]; readonly data: readonly DataOrigin[]; readonly seed?: number },
  context: RunContext,
): Promise<Provenance> {
  const cores = cpus();
  const models: ModelOrigin[] = [];
  for (const model of what.models) models.push(await buildModelOrigin(model));
  return {
    ...defined({ command: context.command }),
    date: new Date().toISOString(),
    versions: { shibori: readPackageVersion(), onnxruntime: getRuntimeVersion(), node: process.version },
    machine: {
      cpu: cores[0]?.model.trim() || 'unknown processor',
      threads: context.threads ?? cores.length,
      system: `${platform()} ${release()} ${arch()}`,
    },
    ...defined({ seed: what.seed }),
    models,
    data: what.data,
  };
}
