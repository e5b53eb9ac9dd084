/** Runs the command line on the folder of cases, and computes references without the code under test. */
import { existsSync, mkdtempSync, readFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { InferenceSession, Tensor } from 'onnxruntime-node';
import sharp from 'sharp';
import { expect } from 'vitest';
import { readNpy } from '../../src/formats/npy.js';
import { shibori } from '../support/shibori.js';

/** The folder of small inputs; `SHIBORI_CASES` names another one. */
export const casesFolder = resolve(process.env.SHIBORI_CASES ?? join(import.meta.dirname, '../../../shared/cases'));

/** Whether the folder is there. */
export const hasCases: boolean = existsSync(join(casesFolder, 'README.md'));

/** A file of the cases. */
export const caseFile = (...parts: string[]): string => join(casesFolder, ...parts);

/** Pixels to 0…1, as most of the cases want them. */
export const PIXELS = ['--mean', '0', '--std', '1'];

/** A fresh folder for what a row writes. */
export const scratch = (): string => mkdtempSync(join(tmpdir(), 'shibori-case-'));

/** What a command printed, with its JSON document parsed. */
export interface CaseResult {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
  readonly json: unknown;
}

/** Runs a command with `--json` in a folder of its own. */
export async function runJson(args: readonly string[], cwd = scratch()): Promise<CaseResult> {
  const result = await shibori([...args, '--json'], { cwd });
  let json: unknown;
  try {
    json = JSON.parse(result.stdout);
  } catch {
    json = undefined;
  }
  return { ...result, json };
}

/** Runs a command as a person sees it. */
export const runText = (args: readonly string[], cwd = scratch()) => shibori(args, { cwd });

/** The value at a path of keys of a parsed document; fails the test where there is none. */
export function at(json: unknown, ...path: readonly (string | number)[]): unknown {
  let value = json;
  for (const key of path) {
    if (typeof value !== 'object' || value === null || !(key in value))
      throw new Error(`No "${path.join('.')}" in ${JSON.stringify(json)?.slice(0, 400)}`);
    value = Object.entries(value).find(([name]) => name === String(key))?.[1];
  }
  return value;
}

/** The same, as a number. */
export function numberAt(json: unknown, ...path: readonly (string | number)[]): number {
  const value = at(json, ...path);
  if (typeof value !== 'number') throw new Error(`"${path.join('.')}" is no number: ${JSON.stringify(value)}`);
  return value;
}

/** Pixels 0…1 of an image, `[1, 3, H, W]`. */
export async function pixelsOf(file: string): Promise<{ data: Float32Array; dims: readonly number[] }> {
  const { data, info } = await sharp(file).removeAlpha().raw().toBuffer({ resolveWithObject: true });
  const size = info.width * info.height;
  const out = new Float32Array(3 * size);
  for (let i = 0; i < size; i++) for (let c = 0; c < 3; c++) out[c * size + i] = (data[i * 3 + c] ?? Number.NaN) / 255;
  return { data: out, dims: [1, 3, info.height, info.width] };
}

/** Runs a file in ONNX Runtime as any user would; throws as it does. */
export async function runInOrt(
  file: string,
  images: { readonly data: Float32Array; readonly dims: readonly number[] },
  output?: string,
): Promise<Float32Array> {
  const session = await InferenceSession.create(file, { logSeverityLevel: 3 });
  try {
    const [input = ''] = session.inputNames;
    const results = await session.run({ [input]: new Tensor('float32', images.data, images.dims) });
    const name = output ?? session.outputNames[0] ?? '';
    const data = results[name]?.data;
    if (!(data instanceof Float32Array)) throw new Error(`Output "${name}" of ${file} is not float32.`);
    expect(data, `output "${name}" of ${file}`).not.toHaveLength(0);
    return data;
  } finally {
    await session.release();
  }
}

/** Seeded images, `[batch, ...dims]`, 0…1: a linear congruential generator (Numerical Recipes), enough to compare two files. */
export function seededImages(batch: number, dims: readonly number[]): { data: Float32Array; dims: readonly number[] } {
  let state = 42;
  const data = Float32Array.from({ length: batch * dims.reduce((a, b) => a * b, 1) }, () => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return state / 2 ** 32;
  });
  return { data, dims: [batch, ...dims] };
}

/** The map of one image that `explain` writes for a class. */
export async function explainedMap(
  model: string,
  image: string,
  args: readonly string[],
): Promise<{ map: Float32Array; result: CaseResult }> {
  const folder = scratch();
  const result = await runJson(
    ['explain', model, image, '--no-picture', '--maps', join(folder, 'maps'), ...args],
    folder,
  );
  expect(result.code, result.stderr).toBe(0);
  const file = at(result.json, 'images', 0, 'map');
  const { data } = readNpy(new Uint8Array(readFileSync(resolve(folder, String(file)))), String(file));
  expect(data, String(file)).not.toHaveLength(0);
  return { map: Float32Array.from(data, Number), result };
}
