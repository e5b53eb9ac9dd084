/** Rules of the poolings, `[N, C, spatial…]`. */
import type { Value } from '../../graph/model.js';
import { buildAveragePoolMatrix, readWindow, type convolution as specs } from '../../ops/convolution.js';
import { countElements } from '../../tensor/dims.js';
import type { RuleContext, Rules } from '../rule.js';
import { reshapeTo, scaleBy, zerosLike } from './terms.js';
import { multiplyTransposed } from './transposed-product.js';

type Pooling = Exclude<keyof typeof specs, 'Conv' | 'ConvTranspose'>;

export const pooling: Rules<Pooling> = {
  MaxPool: maxPool,
  AveragePool: averagePool,
  // dX = dY / (number of positions), repeated
  GlobalAveragePool({ builder: b, ...c }) {
    const dims = c.dims(c.x(0));
    return [b.op('Expand', [scaleBy(b, c.dy, 1 / countElements(dims.slice(2))), b.ints(dims)])];
  },
  // dX = dY at the first maximum
  GlobalMaxPool({ builder: b, ...c }) {
    const dims = c.dims(c.x(0));
    const [batch = 1, channels = 1, ...spatial] = dims;
    const flat = [batch, channels, countElements(spatial)];
    const first = b.op('ArgMax', [reshapeTo(b, c.x(0), flat)], { axis: 2, keepdims: 1 });
    const dy = reshapeTo(b, c.dy, [batch, channels, 1]);
    return [reshapeTo(b, b.op('ScatterElements', [zerosLike(b, flat, dy), first, dy], { axis: 2 }), dims)];
  },
  // dX = dY at the positions that X was put to
  MaxUnpool({ builder: b, ...c }) {
    const dims = c.dims(c.x(0));
    const [flat, index] = [
      reshapeTo(b, c.dy, [countElements(c.dims(c.y))]),
      reshapeTo(b, c.x(1), [countElements(dims)]),
    ];
    return [reshapeTo(b, b.op('GatherElements', [flat, index]), dims)];
  },
};

// dX[index of the window's first maximum] += dY. The positions come from a second MaxPool: asking the forward one for
// them would take its fast kernel away.
function maxPool({ builder: b, attributes, ...c }: RuleContext<'MaxPool'>): Value[] {
  const x = c.x(0);
  const [dims, dimsY] = [c.dims(x), c.dims(c.y)];
  const kernel = attributes.kernel_shape ?? [];
  const { strides, pads, dilations } = readWindow(attributes, kernel, dims.slice(2));
  // The indices are those of the flattened tensor, batch and channels included.
  const [, index] = b.node('MaxPool', [x], { ...attributes, storage_order: 0 }, { outputs: 2 });
  if (!index) throw c.fail('it has no indices.');
  // Windows that neither overlap nor reach beyond the input: nothing is added up, MaxUnpool puts each value back.
  const apart = kernel.every((size, axis) => {
    const stride = strides[axis] ?? 1;
    const reach = ((dimsY[axis + 2] ?? 1) - 1) * stride + size;
    return stride >= size && dilations[axis] === 1 && reach <= (dims[axis + 2] ?? 0);
  });
  if (apart && pads.every((pad) => pad === 0)) {
    return [b.op('MaxUnpool', [c.dy, index, b.ints(dims)], { kernel_shape: kernel, strides })];
  }
  const [size, sizeY] = [countElements(dims), countElements(dimsY)];
  const [flatIndex, flatDy] = [reshapeTo(b, index, [sizeY]), reshapeTo(b, c.dy, [sizeY])];
  const zeros = zerosLike(b, [size], c.dy);
  return [reshapeTo(b, b.op('ScatterElements', [zeros, flatIndex, flatDy], { axis: 0, reduction: 'add' }), dims)];
}

// Y = A1 X A2' with one matrix of averages an axis (the count of a window is a product over the axes), so dX = A1' dY A2
function averagePool({ builder: b, attributes, ...c }: RuleContext<'AveragePool'>): Value[] {
  const target = c.dims(c.x(0));
  const outputs = c.dims(c.y);
  const window = readWindow(attributes, attributes.kernel_shape ?? [], target.slice(2));
  let dX = c.dy;
  for (let axis = target.length - 1; axis >= 2; axis--) {
    const size = target[axis] ?? 1;
    const values = buildAveragePoolMatrix(
      window,
      axis - 2,
      size,
      outputs[axis] ?? 1,
      attributes.count_include_pad === 1,
    );
    dX = multiplyTransposed(b, dX, axis, values, size);
  }
  return [dX];
}
