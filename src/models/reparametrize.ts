/*
 * Weights that PyTorch stores as what they are computed from, computed as PyTorch does in `eval()`:
 *   weight norm (Salimans and Kingma 2016, arXiv:1602.07868)  W = g · v / ‖v‖, the norm over all axes but those of g
 *   spectral norm (Miyato et al. 2018, arXiv:1802.05957)      W = W₀ / σ, σ = uᵀ W₀ v with the stored u and v
 *   pruning (torch.nn.utils.prune)                            W = W₀ · mask
 * Sums in float64, results in float32.
 */
import { ShiboriError } from '../errors.js';
import { computeStrides, countElements } from '../tensor/dims.js';
import { toFloat32 } from '../tensor/float16.js';
import { float32, type Tensor } from '../tensor/tensor.js';
import type { StateDict } from './state-dict.js';

type WeightErrorFactory = (problem: string) => ShiboriError;

/** One way to store a weight. `NAME` in the parts stands for the weight's name. */
interface Reparametrization {
  readonly kind: string;
  /** The first part is what the weight is computed from. */
  readonly parts: readonly string[];
  compute(parts: readonly Tensor<'float32'>[], name: string, fail: WeightErrorFactory): Tensor<'float32'>;
}

const createWeightNormRule = (parts: readonly string[]): Reparametrization => ({
  kind: 'weight norm',
  parts,
  compute: ([v, g], name, fail) => computeWeightNorm(v as Tensor<'float32'>, g as Tensor<'float32'>, name, fail),
});

const createSpectralNormRule = (parts: readonly string[]): Reparametrization => ({
  kind: 'spectral norm',
  parts,
  compute: ([w, u, v], name, fail) =>
    computeSpectralNorm(w as Tensor<'float32'>, u as Tensor<'float32'>, v as Tensor<'float32'>, name, fail),
});

/** In the order in which they are undone: pruning may be applied to a part of another. */
const reparametrizations: readonly Reparametrization[] = [
  {
    kind: 'pruning',
    parts: ['NAME_orig', 'NAME_mask'],
    compute: ([w, mask], name, fail) =>
      computeMaskedWeight(w as Tensor<'float32'>, mask as Tensor<'float32'>, name, fail),
  },
  createWeightNormRule(['NAME_v', 'NAME_g']),
  createWeightNormRule(['parametrizations.NAME.original1', 'parametrizations.NAME.original0']),
  createSpectralNormRule(['NAME_orig', 'NAME_u', 'NAME_v']),
  createSpectralNormRule([
    'parametrizations.NAME.original',
    'parametrizations.NAME.0._u',
    'parametrizations.NAME.0._v',
  ]),
];

/** A state dict of plain weights, and what was computed. */
export interface PlainWeights {
  readonly tensors: StateDict;
  readonly notes: readonly string[];
}

/**
 * Computes the weights of a state dict that are stored as weight norm, spectral norm or pruning leave them, with the
 * modules of `torch.nn.utils` or the parametrizations of PyTorch 2. The others are left as they are.
 *
 * @throws ShiboriError naming the weight that cannot be computed from what the file holds.
 */
export function computeWeights(tensors: StateDict, file: string): PlainWeights {
  const fail: WeightErrorFactory = (problem) =>
    new ShiboriError(`Reading ${file}: ${problem}`, { code: 'unsupported-model' });
  let current = tensors;
  const notes: string[] = [];
  for (const way of reparametrizations) {
    const { tensors: plain, names } = undoReparametrization(current, way, fail);
    current = plain;
    const [first] = names;
    if (first === undefined) continue;
    const rest = names.length === 1 ? 'is' : `and ${names.length - 1} more are`;
    notes.push(`${first} ${rest} stored with ${way.kind}: computed from ${way.parts.map(shortenPartName).join(', ')}.`);
  }
  for (const key of current.keys()) {
    const found = /^(?:(.*)\.)?parametrizations\.(\w+)\.original\d*$/.exec(key);
    if (!found) continue;
    const [, path = '', weight = ''] = found;
    throw fail(
      `the weight "${path === '' ? '' : `${path}.`}${weight}" is computed from "${key}" by a parametrization whose ` +
        'code the file does not hold. Make it a plain weight in Python before saving: ' +
        `torch.nn.utils.parametrize.remove_parametrizations(model${path === '' ? '' : `.get_submodule("${path}")`}, "${weight}").`,
    );
  }
  return { tensors: current, notes };
}

const shortenPartName = (part: string) => part.replace(/^parametrizations\.NAME\.|^NAME_/, '');

/** The path and the name of the weight that a key is the part of; `undefined` for other keys. */
function parseWeightKey(key: string, part: string): { readonly path: string; readonly name: string } | undefined {
  const [start = '', end = ''] = part.split('NAME');
  if (!key.endsWith(end)) return undefined;
  const body = key.slice(0, key.length - end.length);
  const dot = body.lastIndexOf('.') + 1;
  const [before, name] = [body.slice(0, dot), body.slice(dot)];
  const path = before.slice(0, before.length - start.length);
  const isPath = before.endsWith(start) && (path === '' || path.endsWith('.'));
  return isPath && /weight|bias/.test(name) ? { path, name } : undefined;
}

function undoReparametrization(
  tensors: StateDict,
  { parts, compute }: Reparametrization,
  fail: WeightErrorFactory,
): { readonly tensors: StateDict; readonly names: readonly string[] } {
  const results = new Map<string, readonly [name: string, tensor: Tensor]>();
  const used = new Set<string>();
  let left = computeElementLimit(tensors);
  for (const key of tensors.keys()) {
    const weight = parseWeightKey(key, parts[0] as string);
    if (weight === undefined) continue;
    const keys = parts.map((part) => weight.path + part.replace('NAME', weight.name));
    const found = keys.map((part) => tensors.get(part)).filter((tensor) => tensor !== undefined);
    if (found.length < parts.length) continue;
    const name = weight.path + weight.name;
    left -= countElements(found[0]?.dims ?? []);
    if (left < 0) throw fail(`"${name}" and others repeat so few elements so often that they would fill the memory.`);
    results.set(key, [name, compute(found.map(toFloat32), name, fail)]);
    // Old versions of spectral norm store the weight of the last step as well.
    for (const part of [...keys, name]) used.add(part);
  }
  if (results.size === 0) return { tensors, names: [] };
  const plain = new Map<string, Tensor>();
  for (const [key, tensor] of tensors) {
    const result = results.get(key);
    if (result) plain.set(...result);
    else if (!used.has(key)) plain.set(key, tensor);
  }
  return { tensors: plain, names: [...results.values()].map(([name]) => name) };
}

/** Elements that weights may have in all: names in a hostile file can share one storage. */
function computeElementLimit(tensors: StateDict): number {
  const buffers = new Set([...tensors.values()].map(({ data }) => data.buffer));
  return 16e6 + [...buffers].reduce((total, { byteLength }) => total + byteLength, 0);
}

const formatShape = ({ dims }: Tensor) => `[${dims.join(', ')}]`;

function computeMaskedWeight(
  w: Tensor<'float32'>,
  mask: Tensor<'float32'>,
  name: string,
  fail: WeightErrorFactory,
): Tensor<'float32'> {
  if (formatShape(w) !== formatShape(mask))
    throw fail(`"${name}_orig" is ${formatShape(w)}, but its mask is ${formatShape(mask)}.`);
  const values = w.data.map((value, i) => value * (mask.data[i] as number));
  return float32(values, [...w.dims]);
}

/** Visits the elements of a tensor as those of a matrix: `axis` against all others, in order. */
function visitAsMatrix(
  dims: readonly number[],
  axis: number,
  visit: (index: number, row: number, column: number) => void,
): void {
  const rows = dims[axis] ?? 1;
  const stride = computeStrides(dims)[axis] ?? countElements(dims);
  const outer = countElements(dims) / (rows * stride) || 0;
  let index = 0;
  for (let block = 0; block < outer; block++) {
    for (let row = 0; row < rows; row++) {
      for (let i = 0; i < stride; i++) visit(index++, row, block * stride + i);
    }
  }
}

function computeWeightNorm(
  v: Tensor<'float32'>,
  g: Tensor<'float32'>,
  name: string,
  fail: WeightErrorFactory,
): Tensor<'float32'> {
  // The norm has one value for each index of an axis, or one for all.
  const axis = g.dims.findIndex((dim) => dim !== 1);
  const isLike = g.dims.length === 0 || g.dims.length === v.dims.length;
  const fits = isLike && g.dims.every((dim, i) => dim === (i === axis ? v.dims[i] : 1));
  if (!fits) throw fail(`"${name}" has weight norm, but its g is ${formatShape(g)} where its v is ${formatShape(v)}.`);
  const squares = new Float64Array(g.data.length);
  visitAsMatrix(v.dims, axis, (i, row) => {
    squares[row] = (squares[row] as number) + (v.data[i] as number) ** 2;
  });
  const zero = v.data.length === 0 ? -1 : squares.indexOf(0);
  if (zero >= 0) {
    throw fail(
      `"${name}" has weight norm, but slice ${zero} of its v is zero, which has no direction: v / ‖v‖ is 0 / 0.`,
    );
  }
  const scales = squares.map((square, i) => (g.data[i] as number) / Math.sqrt(square));
  const result = new Float32Array(v.data.length);
  visitAsMatrix(v.dims, axis, (i, row) => {
    result[i] = (v.data[i] as number) * (scales[row] as number);
  });
  return float32(result, [...v.dims]);
}

function computeSpectralNorm(
  w: Tensor<'float32'>,
  u: Tensor<'float32'>,
  v: Tensor<'float32'>,
  name: string,
  fail: WeightErrorFactory,
): Tensor<'float32'> {
  const count = countElements(w.dims);
  const axis = w.dims.findIndex((dim) => dim === u.data.length && count === dim * v.data.length);
  if (axis < 0) {
    throw fail(
      `"${name}" has spectral norm, but its u ${formatShape(u)} and v ${formatShape(v)} do not fit its weight ${formatShape(w)}.`,
    );
  }
  let sigma = 0;
  visitAsMatrix(w.dims, axis, (i, row, column) => {
    sigma += (u.data[row] as number) * (w.data[i] as number) * (v.data[column] as number);
  });
  if (!(Math.abs(sigma) > 0)) throw fail(`"${name}" has spectral norm, but uᵀWv of what is stored is ${sigma}.`);
  const values = w.data.map((value) => value / sigma);
  return float32(values, [...w.dims]);
}
