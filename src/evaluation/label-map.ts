/*
 * Which output of a model each class of a data set belongs to.
 *
 * 1. As many classes as outputs, or more classes than names: class k is output k, as PyTorch's ImageFolder numbers them.
 *    Where all names are those of the model, in another order, the names decide.
 * 2. Fewer classes than outputs: by name, where every class is named like one output (id or name, any of the synonyms
 *    that commas divide, in any case; the names of ImageNet for a model of 1,000 outputs that nothing else names); by
 *    number, where all folders are called by numbers of outputs; else by position, with a warning.
 */
import type { ImageClass, ImageSource } from '../data/image-items.js';
import { checkLabels, countClasses } from '../images/open-dataset.js';
import type { LoadedModel } from '../io/models/model-file.js';
import { findImagenetNames } from '../models/imagenet-names.js';
import { range } from '../tensor/dims.js';
import { buildClassNames } from './class-names.js';

/** Outputs of a data set's classes. */
export interface LabelMap {
  /** Output of each class, in the order of the labels. */
  readonly outputs: readonly number[];
  readonly by: 'position' | 'name' | 'number';
  /** What is doubtful about it. */
  readonly warning?: string;
}

const normalizeName = (name: string): string =>
  name
    .trim()
    .toLowerCase()
    .replace(/[_\s]+/g, ' ');

/** Outputs by their whole names, and by synonyms that belong to one output alone. */
function indexOutputsByName(names: readonly string[]): ReadonlyMap<string, number> {
  const found = new Map<string, number>();
  for (const split of [(name: string) => name.split(','), (name: string) => [name]]) {
    const owners = new Map<string, Set<number>>();
    for (const [output, name] of names.entries()) {
      for (const part of split(name).map(normalizeName)) {
        const owner = owners.get(part) ?? new Set();
        owners.set(part, owner.add(output));
      }
    }
    // Whole names come last and win over synonyms.
    for (const [part, [first = 0, ...others]] of [...owners].map(([part, set]) => [part, [...set]] as const)) {
      if (others.length === 0) found.set(part, first);
    }
  }
  return found;
}

function matchClassesByName(classes: readonly ImageClass[], names: readonly string[]): number[] | ImageClass {
  const outputs = indexOutputsByName(names);
  const mapped: number[] = [];
  for (const entry of classes) {
    const synonyms = entry.name.split(',').map(normalizeName);
    const found = [normalizeName(entry.name), normalizeName(entry.id), ...synonyms].find((name) => outputs.has(name));
    if (found === undefined) return entry;
    mapped.push(outputs.get(found) ?? 0);
  }
  // Two classes of one name: then the names do not tell them apart.
  const twice = mapped.findIndex((output, i) => mapped.indexOf(output) !== i);
  return classes[twice] ?? mapped;
}

/**
 * Decides which output of a model each class of a data set is.
 *
 * @throws UsageError for a data set of more classes than the model has outputs.
 */
export function mapLabels(model: LoadedModel, source: ImageSource): LabelMap {
  const { info } = model;
  checkLabels(model, source);
  const { classes } = source;
  if (classes.length === 0) return { outputs: [], by: 'position' };
  const count = countClasses(model);
  const names = info.classes ?? findImagenetNames(count);
  const named = names && matchClassesByName(classes, names);
  if (Array.isArray(named)) return { outputs: named, by: 'name' };
  const positions = range(classes.length);
  if (classes.length === count) return { outputs: positions, by: 'position' };
  const numbers = classes.map(({ id }) => (/^\d+$/.test(id) ? Number(id) : Number.NaN));
  if (numbers.every((number) => number < count) && new Set(numbers).size === numbers.length) {
    return { outputs: numbers, by: 'number' };
  }
  const why =
    named && info.classes
      ? `the model has no class called "${named.name}"`
      : 'the names of the model’s classes are not known (id2label in a config.json beside it)';
  return {
    outputs: positions,
    by: 'position',
    warning: `The data set "${source.name}" has ${classes.length} classes, the model ${count}, and ${why}: its classes are taken to be outputs 0 to ${classes.length - 1}. Folders called by the numbers of the outputs would say which they are.`,
  };
}

/** Names of a model's outputs: the data set's where it has that class, else the model's own. */
export function listOutputNames(model: LoadedModel, source: ImageSource): string[] {
  const { outputs } = mapLabels(model, source);
  const names = buildClassNames(model.info.classes, countClasses(model));
  for (const [label, output] of outputs.entries()) names[output] = source.classes[label]?.name ?? names[output] ?? '';
  return names;
}
