import { existsSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { ShiboriError } from '../../errors.js';
import { type ModelConfig, parseModelConfig, parsePreprocessorConfig } from '../../models/model-config.js';
import type { PreprocessSource } from '../../models/preprocessing.js';
import { defined } from '../../values.js';
import { listConfigFolders } from './model-folders.js';

/** More than any real configuration: 21,000 classes take one megabyte. */
const MOST_BYTES = 32e6;

const parsers: Readonly<Record<string, (text: string, file: string) => ModelConfig>> = {
  'preprocessor_config.json': parsePreprocessorConfig,
  'config.json': parseModelConfig,
};

/** Holds what the configuration files next to a model state. */
export interface ModelConfigs {
  /** The strongest first. */
  readonly layers: readonly PreprocessSource[];
  readonly classes?: {
    readonly names: readonly string[];
    readonly file: string;
    /** Whether the file may as well be about something else, such as all words of a data set. */
    readonly isGuess?: boolean;
  };
}

/**
 * Reads `preprocessor_config.json`, `config.json` and `words.txt` next to a model file or, where it is a link, next to the real file;
 * or one folder up where the model lies in a folder called `onnx`, as transformers.js lays models out.
 *
 * @throws ShiboriError naming file and field for what is not understood.
 */
export function readModelConfigs(model: string): ModelConfigs {
  const folders = listConfigFolders(model);
  const layers: PreprocessSource[] = [];
  let classes: ModelConfigs['classes'];
  for (const [name, parse] of Object.entries(parsers)) {
    const file = folders.map((folder) => join(folder, name)).find((path) => existsSync(path));
    if (file === undefined) continue;
    const config = parse(readConfigText(file), file);
    if (Object.keys(config.parts).length > 0) layers.push({ from: file, parts: config.parts });
    if (config.classes) classes ??= { names: config.classes, file };
  }
  classes ??= readWords(folders);
  return { layers, ...defined({ classes }) };
}

/** Reads the names in a `words.txt`: a line a class in the order of the outputs, a name, or an id, a tab and names. */
function readWords(folders: readonly string[]): ModelConfigs['classes'] {
  const file = folders.map((folder) => join(folder, 'words.txt')).find((path) => existsSync(path));
  if (file === undefined) return undefined;
  const lines = readConfigText(file).trim().split(/\r?\n/);
  const names = lines.map(
    (line) =>
      line
        .slice(line.indexOf('\t') + 1)
        .split(',')[0]
        ?.trim() ?? '',
  );
  return { names, file, isGuess: true };
}

function readConfigText(file: string): string {
  try {
    if (statSync(file).size <= MOST_BYTES) return readFileSync(file, 'utf8');
  } catch (error) {
    throw new ShiboriError(`Reading ${file}, the model's configuration: ${(error as NodeJS.ErrnoException).code}.`, {
      code: 'file-not-found',
      file,
    });
  }
  throw new ShiboriError(`Reading ${file}, the model's configuration: it is larger than ${MOST_BYTES / 1e6} MB.`, {
    code: 'invalid-file',
    file,
  });
}
