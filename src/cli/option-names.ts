/** The names of options and functions of the library, and what the command line calls them. */

/** Flags by the option of the library that they set. */
export const flagsByOption: Readonly<Record<string, string>> = {
  // Model files.
  arch: '--arch',
  weights: '--weights',
  inputSize: '--input',
  channels: '--input',
  imageLayout: '--image-layout',
  outputName: '--output-name',
  task: '--task',
  // Preprocessing.
  range: '--scale',
  mean: '--mean',
  std: '--std',
  color: '--color',
  resize: '--resize',
  shorterSide: '--shorter-side',
  crop: '--crop',
  filter: '--filter',
  // Images.
  data: '--data',
  split: '--split',
  randomSplit: '--random-split',
  part: '--part',
  limit: '--limit',
  seed: '--seed',
  validationData: '--validation-data',
  validationSplit: '--validation-split',
  trainSplit: '--train-split',
  // Explanations and comparisons.
  layer: '--layer',
  score: '--score',
  mapImages: '--map-images',
  pictures: '--pictures',
  maps: '--maps',
  // Compression.
  parameters: '--params',
  size: '--size',
  macs: '--macs',
  accuracyDrop: '--max-accuracy-drop',
  error: '--max-error',
  minMapSimilarity: '--min-cam-similarity',
  layers: '--layers',
  schemes: '--schemes',
  store: '--store',
  calibrationImages: '--calibration',
  rounds: '--rounds',
  finetuneEpochs: '--finetune',
  control: '--control',
  baselinePlan: '--baseline-plan',
  allowSlower: '--allow-slower',
  jobs: '--jobs',
  plan: '--plan',
  ranks: '--ranks',
  execution: '--execution',
  // Training.
  train: '--train',
  head: '--head',
  init: '--init',
  teacher: '--teacher',
  keep: '--keep',
  resume: '--resume',
  epochs: '--epochs',
  batch: '--batch',
  learningRate: '--lr',
  // Runs, files and machine.
  model: '--model',
  work: '--work',
  fresh: '--fresh',
  output: '--output',
  threads: '--threads',
  workers: '--workers',
};

/** Commands by the function of the library that they call. */
const commandsByFunction: Readonly<Record<string, string>> = {
  summarize: 'shibori summary MODEL',
  listLayers: 'shibori summary MODEL',
  evaluate: 'shibori evaluate',
  explain: 'shibori explain',
  compare: 'shibori compare',
  compress: 'shibori compress',
  sweep: 'shibori sweep',
  exportModel: 'shibori export',
  fetchData: 'shibori fetch',
};

/** Returns the flag of an option of the library; a name that no command has stays as it is. */
export function toFlag(option: string): string {
  return (Object.hasOwn(flagsByOption, option) ? flagsByOption[option] : undefined) ?? option;
}

/** A name in backticks, with a value (`limit: 3`) or an argument (`fetchData('x')`). */
const NAME = /`(\w+)(?:: ([^`]*)|\('([^`]*)'\))?`/g;

/** Writes a value of the library as an option has it: `[224, 224]` becomes `224,224`. */
function formatValue(option: string, text: string): string {
  const bare = text.replace(/^(['"[])(.*)['"\]]$/s, '$2');
  if (text === 'true' || text === '') return '';
  if (!text.startsWith('[')) return ` ${bare}`;
  return ` ${bare.replaceAll(', ', option === 'range' ? '-' : ',')}`;
}

/**
 * Rewrites the names in backticks of a message of the library as the command line spells them: `` `validationData` ``
 * becomes `--validation-data`, `` `keep: 'last'` `` becomes `--keep last`, `` `summarize` `` becomes `` `shibori summary MODEL` ``.
 * Everything else in backticks stays as it is.
 */
export function withFlags(message: string): string {
  return message.replace(NAME, (whole, name: string, value: string | undefined, argument: string | undefined) => {
    if (argument === undefined && Object.hasOwn(flagsByOption, name)) {
      return `${flagsByOption[name]}${value === undefined ? '' : formatValue(name, value)}`;
    }
    if (value !== undefined || !Object.hasOwn(commandsByFunction, name)) return whole;
    return `\`${commandsByFunction[name]}${argument === undefined ? '' : ` ${argument}`}\``;
  });
}

/** Keys of results under which messages stand. */
const MESSAGE_KEYS: ReadonlySet<string> = new Set(['notes', 'warnings', 'reason']);

/**
 * Rewrites the messages of a result, those under the keys `notes`, `warnings` and `reason`, see `withFlags`. Everything
 * else stays as it is, the names of files and layers included.
 */
export function withFlagsInMessages<T>(value: T): T;
export function withFlagsInMessages(value: unknown): unknown {
  return rewriteMessages(value, false);
}

function rewriteMessages(value: unknown, isMessage: boolean): unknown {
  if (typeof value === 'string') return isMessage ? withFlags(value) : value;
  if (Array.isArray(value)) return value.map((each) => rewriteMessages(each, isMessage));
  if (value === null || typeof value !== 'object' || Object.getPrototypeOf(value) !== Object.prototype) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, each]) => [key, rewriteMessages(each, isMessage || MESSAGE_KEYS.has(key))]),
  );
}
