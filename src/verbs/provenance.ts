/** Collects what the figures of a report depend on. */
import { arch, cpus, platform, release } from 'node:os';
import { runtimeVersion } from '../engine/node.js';
import { describePreprocess } from '../models/preprocessing.js';
import { hashFile } from '../node/file-hash.js';
import type { LoadedModel } from '../node/model-file.js';
import { packageVersion } from '../node/package.js';
import type { DataOrigin, ModelOrigin, Provenance } from '../report/provenance.js';
import type { VerbContext } from './context.js';
import { preprocessOf } from './dataset.js';

/** A model of a report. */
export interface ReportedModel {
  readonly name: string;
  readonly model: LoadedModel;
  /** Where it was read from or written to; none for a model that exists in memory only. */
  readonly file?: string | undefined;
}

/** Describes how images become the input of a model, and which parts of that are guesses. */
export function preprocessText({ graph, info }: LoadedModel): string {
  const { size, resize, filter, color, normalization } = describePreprocess(preprocessOf(graph, info));
  const guessed = info.guessed ?? [];
  const guess = guessed.length > 0 ? `; guessed: ${guessed.join(', ')}` : '';
  return `${size} (${resize}, ${filter}), ${color}, ${normalization}${guess}`;
}

async function findOrigin({ name, model, file }: ReportedModel): Promise<ModelOrigin> {
  return { name, files: file === undefined ? [] : [await hashFile(file)], preprocess: preprocessText(model) };
}

/**
 * Collects the provenance of a report: hashes of the model files, versions, machine, date.
 *
 * @throws ShiboriError when a model file is not there any more.
 */
export async function collectProvenance(
  what: { readonly models: readonly ReportedModel[]; readonly data: readonly DataOrigin[]; readonly seed?: number },
  context: VerbContext,
): Promise<Provenance> {
  const cores = cpus();
  const models: ModelOrigin[] = [];
  for (const model of what.models) models.push(await findOrigin(model));
  return {
    ...(context.command === undefined ? {} : { command: context.command }),
    date: new Date().toISOString(),
    versions: { shibori: packageVersion(), onnxruntime: runtimeVersion(), node: process.version },
    machine: {
      cpu: cores[0]?.model.trim() || 'unknown processor',
      threads: context.threads ?? cores.length,
      system: `${platform()} ${release()} ${arch()}`,
    },
    ...(what.seed === undefined ? {} : { seed: what.seed }),
    models,
    data: what.data,
  };
}
