import { ShiboriError } from '../errors.js';
import type { Graph } from '../graph/model.js';
import { type Matrix, matrix, type SingleMatrix } from '../linalg/matrix.js';
import { computeProductDims, type MatrixProducts, type ProductOptions } from '../linalg/products.js';
import { GraphBuilder } from '../ops/builder.js';
import { expectFloat32, type Tensor, tensor } from '../tensor/tensor.js';
import type { Engine, Session } from './engine.js';

/** Matrix products on an engine. Dispose them when done: each kind of product keeps a session. */
export interface EngineProducts extends MatrixProducts {
  /** Gives the sessions back. */
  dispose(): Promise<void>;
}

/** C = op(A) op(B) for matrices of any size. Gemm reads its operands transposed where MatMul needs a copy first. */
function buildProductGraph(dtype: Factor['dtype'], options: ProductOptions): Graph {
  const builder = new GraphBuilder();
  const a = builder.input('a', dtype, ['rows of a', 'columns of a']);
  const b = builder.input('b', dtype, ['rows of b', 'columns of b']);
  const attributes = { transA: options.transposeA ? 1 : 0, transB: options.transposeB ? 1 : 0 };
  builder.output(builder.op('Gemm', [a, b], attributes, { outputName: 'c' }));
  return builder.build('matrix product');
}

/**
 * Matrix products computed by an engine's `Gemm`: on ONNX Runtime with two threads, a matrix of 512×25088 times
 * its own transpose takes 0.14 s, and Gemm was 1.0 to 2 times as fast as Transpose and MatMul.
 *
 * @example
 * const products = engineProducts(nodeEngine());
 * const w = { rows: 1, cols: 2, data: Float64Array.of(3, 4) };
 * const gram = await products.multiply(w, w, { transposeB: true });
 * await products.dispose();
 */
export function engineProducts(engine: Engine): EngineProducts {
  const sessions = new Map<string, Promise<Session>>();
  const run = async (a: Factor, b: Factor, options: ProductOptions): Promise<Tensor | undefined> => {
    const kind = `${a.dtype},${options.transposeA ?? false},${options.transposeB ?? false}`;
    let session = sessions.get(kind);
    if (!session) {
      session = engine.load(buildProductGraph(a.dtype, options));
      sessions.set(kind, session);
    }
    return (await (await session).run({ a, b })).c;
  };
  return {
    async multiply(a, b, options) {
      const [rows, , cols] = computeProductDims(a, b, options);
      const factor = (of: Matrix) => tensor('float64', [of.rows, of.cols], of.data);
      const found = await run(factor(a), factor(b), options);
      if (found?.dtype === 'float64') return matrix(rows, cols, found.data);
      throw new ShiboriError(`${engine.name} returned a product of ${found?.dtype}, not float64.`, {
        code: 'engine-failed',
      });
    },
    async multiplySingle(a, b, options) {
      const [rows, , cols] = computeProductDims(a, b, options);
      const factor = (of: SingleMatrix) => tensor('float32', [of.rows, of.cols], of.data);
      const { data } = expectFloat32(await run(factor(a), factor(b), options), `A product by ${engine.name}`);
      return { rows, cols, data };
    },
    async dispose() {
      const open = [...sessions.values()];
      sessions.clear();
      await Promise.all(open.map(async (session) => (await session).dispose()));
    },
  };
}

type Factor = Tensor<'float32' | 'float64'>;
