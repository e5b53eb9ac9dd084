import { existsSync } from 'node:fs';
import { ShiboriError } from '../errors.js';
import { readSafetensors } from '../formats/safetensors/read.js';
import { writeSafetensors } from '../formats/safetensors/write.js';
import { expectFloat32, tensor } from '../tensor/tensor.js';
import { type CheckpointStore, progressSchema, type TrainingProgress } from '../train/training-state.js';
import { writeFileAtomic } from './atomic-file.js';
import { readWholeFile } from './models/model-file.js';

/** Metadata entry that holds the progress as JSON. */
const PROGRESS_KEY = 'training';

function parseProgress(text: string | undefined, file: string): TrainingProgress {
  try {
    return progressSchema.parse(JSON.parse(text ?? ''));
  } catch {
    throw new ShiboriError(
      `Reading checkpoint "${file}": it holds no training progress. Delete it, or start again without \`resume\`.`,
      { code: 'invalid-file', file },
    );
  }
}

/**
 * Checkpoints in one safetensors file: parameters, statistics, optimizer state and progress. It is replaced as a whole,
 * so that at any time the file is one complete checkpoint.
 */
export function openCheckpointFile(file: string): CheckpointStore {
  return {
    async load() {
      if (!existsSync(file)) return undefined;
      const { tensors, metadata } = readSafetensors(await readWholeFile(file, 'checkpoint'), file);
      return {
        progress: parseProgress(metadata[PROGRESS_KEY], file),
        tensors: new Map(
          [...tensors].map(([name, value]) => [name, expectFloat32(value, `Checkpoint entry "${name}"`).data]),
        ),
      };
    },
    async save({ progress, tensors }) {
      const named = new Map([...tensors].map(([name, data]) => [name, tensor('float32', [data.length], data)]));
      await writeFileAtomic(file, writeSafetensors(named, { [PROGRESS_KEY]: JSON.stringify(progress) }));
    },
  };
}
