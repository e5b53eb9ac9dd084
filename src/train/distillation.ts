/*
 * Learning from a teacher, with t the targets of an image, a the activations at a layer, m the map there, * the teacher's:
 *   L = −(1/B) Σ t · log p          t = (1 − labels) p* + labels · [label]    (Hinton et al. 2015, arXiv:1503.02531)
 *     + features · Σ ‖a − a*‖² / Σ ‖a*‖²                                      (Romero et al. 2015, arXiv:1412.6550)
 *     + maps · (1/B) Σ (1 − corr(m, m*))       maps of the class that the teacher predicts; compare the gradient-based
 *                                              attention of Zagoruyko, Komodakis 2017, arXiv:1612.03928
 */
import type { Engine, NamedTensors } from '../engine/engine.js';
import { BatchSessions, type Piece, splitIntoPieces } from '../engine/pieces.js';
import { ShiboriError } from '../errors.js';
import { findFixedBatch } from '../graph/batch.js';
import type { Graph, Value } from '../graph/model.js';
import type { GraphBuilder } from '../ops/builder.js';
import { appendClassScores, appendLogProbabilities } from '../ops/scores/append.js';
import { findScores } from '../ops/scores/scores.js';
import { startRewrite } from '../passes/rewrite.js';
import { countElements } from '../tensor/dims.js';
import { expectFloat32, float32, type Tensor, zeros } from '../tensor/tensor.js';
import type { FeatureStore } from './features-in-memory.js';

/**
 * Adds the raw maps `[B, h, w]` of a batch: of the scores `[B, classes]` that a one-hot row `[B, classes]` picks, at an
 * activation. `appendMaps` of `explain/` makes one.
 */
export type AppendMaps = (b: GraphBuilder, scores: Value, picked: Value, activation: Value) => Value;

/** Who is learnt from, and what. */
export interface Distillation {
  /** A classifier of the same images and classes. */
  readonly teacher: Graph;
  /** Share of the labels in the targets, 0…1. Default: 0, the teacher's probabilities alone. */
  readonly labels?: number;
  /** Names of the values whose activations and maps are compared, of the same shape. */
  readonly layer?: { readonly teacher: string; readonly student: string };
  /** Weight of the activations' relative squared error. Default: 0. */
  readonly features?: number;
  /** Weight of what the maps' correlation lacks of 1. Default: 0. */
  readonly maps?: { readonly weight: number; readonly append: AppendMaps };
  /**
   * Where the teacher's answers are kept (in view 0), so that it is asked about every image once: for images that are the
   * same in every epoch. Gets the elements of one answer and the graph that gives it. Default: nowhere.
   */
  readonly store?: (elements: number, teacher: Graph) => FeatureStore;
}

/** Names of the step graph's inputs that hold what the teacher found. */
const FEATURES = 'train/teacher/features';
const MAPS = 'train/teacher/maps';
const PICKED = 'train/teacher/picked';
const PROBABILITIES = 'train/teacher/probabilities';

/** Keeps the correlation of a map that is the same everywhere finite; maps are compared at a scale of 1. */
const LEAST_VARIANCE = 1e-6;

/** The value of the student that is compared; none where predictions alone are. */
export function listComparedValues(student: Graph, distillation: Distillation | undefined): readonly Value[] {
  return distillation && comparesActivations(distillation) ? [findTeacherLayer(student, 'student', distillation)] : [];
}

/** Returns the value that is compared. Throws when a graph has none of that name, or no name is given. */
function findTeacherLayer(graph: Graph, which: 'teacher' | 'student', { layer }: Distillation): Value {
  if (!layer)
    throw new ShiboriError('Distillation of features or maps needs to know the layer.', { code: 'training-failed' });
  const values = [...graph.inputs, ...graph.nodes.flatMap(({ outputs }) => outputs)];
  const found = values.find((value) => value?.name === layer[which]);
  if (found) return found;
  throw new ShiboriError(`Distillation compares "${layer[which]}", which the ${which} does not have.`, {
    code: 'training-failed',
  });
}

const comparesActivations = ({ features = 0, maps }: Distillation): boolean => features > 0 || (maps?.weight ?? 0) > 0;

/** What the teacher tells of a batch, as one graph. */
function buildTeacherGraph(distillation: Distillation, batch: number): Graph {
  const { teacher, features = 0, maps } = distillation;
  const [input] = teacher.inputs;
  const [output] = teacher.outputs;
  if (!input?.type || !output) throw new ShiboriError('The teacher has no typed input.', { code: 'training-failed' });
  const layer = comparesActivations(distillation) ? findTeacherLayer(teacher, 'teacher', distillation) : undefined;
  const { builder: b, mapValue: of } = startRewrite(teacher, {
    inputDims: { [input.name]: [batch, ...input.type.dims.slice(1)] },
    outputs: layer ? [output, layer] : [output],
  });
  return b.within('teacher', () => {
    const publish = (value: Value, name: string) => b.output(b.op('Identity', [value], {}, { outputName: name }));
    const described = findScores(teacher);
    publish(b.op('Exp', [appendLogProbabilities(b, of, described).yes]), PROBABILITIES);
    if (layer && features > 0) publish(of(layer), FEATURES);
    if (layer && maps && maps.weight > 0) {
      const scores = appendClassScores(b, of, described);
      const { classes } = described;
      const best = b.op('ArgMax', [scores], { axis: 1, keepdims: 0 });
      const picked = b.op('OneHot', [best, b.ints([classes]), b.initializer('constant/one-hot', float32([0, 1]))], {
        axis: 1,
      });
      publish(picked, PICKED);
      publish(standardizeMaps(b, maps.append(b, scores, picked, of(layer))), MAPS);
    }
    return b.build('teacher');
  });
}

/** Maps `[B, h, w]` as rows `[B, h·w]` of mean 0 and length 1. */
function standardizeMaps(b: GraphBuilder, maps: Value): Value {
  const rows = b.op('Flatten', [maps], { axis: 1 });
  // At a scale of 1 first, whatever the scores' gradients are: what is added to a variance must be little.
  const most = b.op('ReduceMax', [b.op('Abs', [rows]), b.ints([1])], { keepdims: 1 });
  const scaled = b.op('Div', [rows, b.op('Add', [most, b.scalar(1e-12)])]);
  const centred = b.op('Sub', [scaled, b.op('ReduceMean', [scaled, b.ints([1])], { keepdims: 1 })]);
  const square = b.op('ReduceSum', [b.op('Mul', [centred, centred]), b.ints([1])], { keepdims: 1 });
  return b.op('Div', [centred, b.op('Sqrt', [b.op('Add', [square, b.scalar(LEAST_VARIANCE)])])]);
}

/**
 * Adds what a student loses against its teacher in addition to the targets: features and maps; `undefined` when neither counts.
 *
 * @param student its inference graph, of which `of` tells the values in the graph that is built.
 */
export function appendDistillation(
  b: GraphBuilder,
  student: Graph,
  of: (old: Value) => Value,
  distillation: Distillation,
): Value | undefined {
  const { features = 0, maps } = distillation;
  if (!comparesActivations(distillation)) return undefined;
  const layer = findTeacherLayer(student, 'student', distillation);
  const activation = of(layer);
  const dims = activation.type?.dims.map(Number) ?? [];
  const terms: Value[] = [];
  const addTerm = (value: Value, weight: number) => terms.push(b.op('Mul', [value, b.scalar(weight)]));
  const sumAll = (value: Value) => b.op('ReduceSum', [value], { keepdims: 0 });
  if (features > 0) {
    const wanted = b.input(FEATURES, 'float32', dims);
    const difference = b.op('Sub', [activation, wanted]);
    addTerm(
      b.op('Div', [sumAll(b.op('Mul', [difference, difference])), sumAll(b.op('Mul', [wanted, wanted]))]),
      features,
    );
  }
  if (maps && maps.weight > 0) {
    const scores = appendClassScores(b, of, findScores(student));
    const picked = b.input(PICKED, 'float32', scores.type?.dims ?? []);
    const own = standardizeMaps(b, maps.append(b, scores, picked, activation));
    const wanted = b.input(MAPS, 'float32', own.type?.dims ?? []);
    const correlation = b.op('Mul', [sumAll(b.op('Mul', [own, wanted])), b.scalar(1 / (dims[0] ?? 1))]);
    addTerm(b.op('Sub', [b.scalar(1), correlation]), maps.weight);
  }
  return terms.reduce((sum, value) => b.op('Add', [sum, value]));
}

/** The teacher at work. */
export interface Teacher {
  /**
   * Probabilities `[n, classes]`, and what the step graph's inputs of `appendDistillation` are fed.
   *
   * @param indices positions of the images in the data.
   * @param images loads them, where they are needed.
   */
  ask(indices: readonly number[], images: () => Promise<Tensor<'float32'>>): Promise<TeacherAnswer>;
  dispose(): Promise<void>;
}

interface TeacherAnswer {
  readonly probabilities: Tensor<'float32'>;
  readonly feeds: NamedTensors;
}

/** What the teacher tells of one image, and the elements that it takes of a record. */
type RecordPart = readonly [name: string, dims: readonly number[]];

/** Rows of a record become tensors of a batch, or the other way round. */
function* iterateRecordSlices(
  parts: readonly RecordPart[],
  count: number,
): Generator<readonly [RecordPart, row: number, start: number, size: number]> {
  const length = countRecordElements(parts);
  let offset = 0;
  for (const part of parts) {
    const size = countElements(part[1]);
    for (let row = 0; row < count; row++) yield [part, row, row * length + offset, size];
    offset += size;
  }
}

const countRecordElements = (parts: readonly RecordPart[]): number =>
  parts.reduce((sum, [, dims]) => sum + countElements(dims), 0);

/** Holds everything that is given for a batch, a record for each image. */
function packRecords(parts: readonly RecordPart[], found: NamedTensors, count: number): Float32Array {
  const records = new Float32Array(count * countRecordElements(parts));
  for (const [[name], row, start, size] of iterateRecordSlices(parts, count)) {
    records.set(
      expectFloat32(found[name], `The teacher's "${name}"`).data.subarray(row * size, (row + 1) * size),
      start,
    );
  }
  return records;
}

function unpackRecords(
  parts: readonly RecordPart[],
  records: Float32Array,
  count: number,
): Record<string, Tensor<'float32'>> {
  const found = Object.fromEntries(parts.map(([name, dims]) => [name, zeros('float32', [count, ...dims])]));
  for (const [[name], row, start, size] of iterateRecordSlices(parts, count)) {
    found[name]?.data.set(records.subarray(start, start + size), row * size);
  }
  return found;
}

/** Puts together what was found of the pieces of a batch. */
function joinPieces(
  parts: readonly RecordPart[],
  found: readonly (readonly [Piece, NamedTensors])[],
  count: number,
): Record<string, Tensor<'float32'>> {
  const whole = Object.fromEntries(parts.map(([name, dims]) => [name, zeros('float32', [count, ...dims])]));
  for (const [piece, results] of found) {
    for (const [name, dims] of parts) {
      const { data } = expectFloat32(results[name], `The teacher's "${name}"`);
      whole[name]?.data.set(data.subarray(0, piece.count * countElements(dims)), piece.start * countElements(dims));
    }
  }
  return whole;
}

/** Loads the teacher; a session for each size of batch. */
export function openTeacher(engine: Engine, distillation: Distillation): Teacher {
  const sessions = new BatchSessions(engine, (batch) => buildTeacherGraph(distillation, batch));
  const input = distillation.teacher.inputs[0]?.name ?? '';
  const single = buildTeacherGraph(distillation, findFixedBatch(distillation.teacher) ?? 1);
  const parts = single.outputs.map(({ name, type }): RecordPart => [name, (type?.dims ?? []).slice(1).map(Number)]);
  const length = countRecordElements(parts);
  const store = distillation.store?.(length, single);
  const compute = async (images: Tensor<'float32'>, batch: number): Promise<NamedTensors> => {
    const found: (readonly [Piece, NamedTensors])[] = [];
    for (const piece of splitIntoPieces(images, findFixedBatch(distillation.teacher))) {
      const session = await sessions.loadFor(piece.images.dims[0] ?? 0);
      found.push([piece, await session.run({ [input]: piece.images })]);
    }
    const [first] = found;
    return first?.[0].images === images ? first[1] : joinPieces(parts, found, batch);
  };
  const findAnswers = async (
    indices: readonly number[],
    images: () => Promise<Tensor<'float32'>>,
  ): Promise<NamedTensors> => {
    const count = indices.length;
    if (!store) return compute(await images(), count);
    const records = new Float32Array(count * length);
    if (!indices.every((index) => store.has(0, index))) {
      store.write(0, indices, packRecords(parts, await compute(await images(), count), count));
    }
    store.read(0, indices, records);
    return unpackRecords(parts, records, count);
  };
  return {
    async ask(indices, images) {
      const { [PROBABILITIES]: probabilities, ...feeds } = await findAnswers(indices, images);
      return { probabilities: expectFloat32(probabilities, "The teacher's probabilities"), feeds };
    },
    async dispose() {
      await sessions.dispose();
      store?.close();
    },
  };
}
