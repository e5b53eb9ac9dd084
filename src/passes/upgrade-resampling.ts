/** Upgrades of the operators that change the resolution or reach beyond the border. */
import { ShiboriError } from '../errors.js';
import { isStatic } from '../graph/dims.js';
import type { Attribute, Dim, Node, Value } from '../graph/model.js';
import type { GraphBuilder } from '../ops/builder.js';
import { buildAveragePoolMatrix, countWindowPositions, readWindow } from '../ops/convolution.js';
import { readAttributes } from '../ops/table.js';
import { castLike, numberLike } from '../ops/terms.js';
import { normalizeAxis, range } from '../tensor/dims.js';
import { float32 } from '../tensor/tensor.js';
import { getNumberAttribute, getStringAttribute } from './node-attributes.js';
import { createNodeError, getNodeNames, type Upgrade } from './upgrade.js';

/** An input that is given and not empty: files pass an empty tensor where an input is to be left out. */
function dropEmptyInput(value: Value | undefined): Value | undefined {
  return value?.type?.dims.length === 1 && value.type.dims[0] === 0 ? undefined : value;
}

// Resize with coordinates o / scale and the position before: what Upsample always did
export const upsample: Upgrade = (node, [x, scalesInput], b) => {
  const attribute = node.attributes.scales;
  const scales =
    attribute?.type === 'floats' ? b.initializer('constant/scales', float32(attribute.value)) : scalesInput;
  const mode = getStringAttribute(node.attributes, 'mode') ?? 'nearest';
  const attributes = { mode: mode === 'bilinear' ? 'linear' : mode, ...asymmetric, nearest_mode: 'floor' };
  return [b.op('Resize', [x, undefined, scales], attributes, getNodeNames(node))];
};

const asymmetric = { coordinate_transformation_mode: 'asymmetric' };

/** Where set 11's "tf_half_pixel_for_nn", (o + 0.5) / scale, rounds to, half_pixel lies half a position before. */
const halfPixelNearestModes: Readonly<Record<string, string>> = {
  floor: 'round_prefer_ceil',
  round_prefer_floor: 'ceil',
};

export const resize: Upgrade = (node, inputs, b, opset) => {
  if (opset === 10) {
    const [x, scales] = inputs;
    const constant = scales && b.findTensor(scales);
    const known = constant ? Array.from(constant.data, Number) : scales && b.findContents(scales);
    const smaller = known?.some((scale) => typeof scale === 'number' && scale < 1) ?? false;
    if (smaller && known?.some((scale) => typeof scale === 'number' && scale > 1)) {
      throw new ShiboriError(
        `Node "${node.name}" (Resize): operator set 10 rounds shrinking and growing axes differently; one node with both is not supported. Export the model again with opset 18.`,
        { code: 'unsupported-operator' },
      );
    }
    const attributes = { mode: getStringAttribute(node.attributes, 'mode') ?? 'nearest', ...asymmetric };
    const nearest_mode = smaller ? 'ceil' : 'floor';
    return [b.op('Resize', [x, undefined, scales], { ...attributes, nearest_mode }, getNodeNames(node))];
  }
  const attributes = readAttributes('Resize', node);
  let { coordinate_transformation_mode: coordinates, nearest_mode } = attributes;
  if (coordinates === 'tf_half_pixel_for_nn') {
    const before = halfPixelNearestModes[nearest_mode];
    if (attributes.mode !== 'nearest' || !before) {
      throw new ShiboriError(
        `Node "${node.name}" (Resize): "tf_half_pixel_for_nn" is of mode "nearest" only, and of nearest_mode floor. Export the model again with opset 18.`,
        { code: 'unsupported-operator' },
      );
    }
    [coordinates, nearest_mode] = ['half_pixel', before];
  }
  const [x, roi, scales, sizes] = inputs.map(dropEmptyInput);
  // Files of set 11 and 12 give both where sizes count.
  const used = [x, coordinates === 'tf_crop_and_resize' ? roi : undefined, sizes ? undefined : scales, sizes];
  return [
    b.op(
      'Resize',
      used,
      { ...attributes, coordinate_transformation_mode: coordinates, nearest_mode },
      getNodeNames(node),
    ),
  ];
};

/** Mode "wrap", which set 19 added: each position is picked from the input, repeated without end in both directions. */
export function padByWrapping(
  node: Node,
  inputs: readonly (Value | undefined)[],
  b: GraphBuilder,
): Value[] | undefined {
  if (getStringAttribute(node.attributes, 'mode') !== 'wrap') return undefined;
  const [x, padsInput, , axesInput] = inputs;
  const dims = x?.type?.dims;
  const pads = padsInput && b.findContents(padsInput);
  const axes = (axesInput ? b.findContents(axesInput) : undefined) ?? range(dims?.length ?? 0);
  if (!x || !dims || !pads || !isStatic(pads) || !isStatic(axes)) {
    throw createNodeError(node, 'its pads must be constants in mode "wrap". Export the model with a fixed image size.');
  }
  let value: Value = x;
  for (const [i, raw] of axes.entries()) {
    const axis = normalizeAxis(raw, dims.length);
    const size = dims[axis];
    const [before = 0, after = 0] = [pads[i], pads[i + axes.length]];
    if (before === 0 && after === 0) continue;
    if (typeof size !== 'number') {
      throw createNodeError(node, `axis ${axis} has no fixed size, which mode "wrap" needs. Fix the image size.`);
    }
    // Negative padding cuts first, as in ONNX Runtime: what is left is repeated.
    const [start, end] = [Math.max(0, -before), size - Math.max(0, -after)];
    const kept = end - start;
    if (kept < 1) throw createNodeError(node, `its pads leave nothing of the ${size} positions of axis ${axis}.`);
    const first = Math.max(0, before);
    const positions = range(kept + first + Math.max(0, after)).map(
      (at) => start + ((((at - first) % kept) + kept) % kept),
    );
    value = b.op('Gather', [value, b.ints(positions)], { axis }, { name: node.name });
  }
  return [b.op('Identity', [value], {}, getNodeNames(node))];
}

/** A pooling with dilations, which set 19 added, as one product with a matrix of averages an axis. */
export const averagePool: Upgrade = (node, [x], b) => {
  const attributes = readAttributes('AveragePool', node);
  if (!attributes.dilations) return undefined;
  if (attributes.dilations.every((dilation) => dilation === 1)) {
    return [b.op('AveragePool', [x], { ...attributes, dilations: undefined }, getNodeNames(node))];
  }
  const dims = x?.type?.dims ?? [];
  const spatial: readonly Dim[] = dims.slice(2);
  if (!x || spatial.length > 2 || !isStatic(spatial)) {
    throw new ShiboriError(
      `Node "${node.name}" (AveragePool): with dilations it takes images of one size, found [${dims.join(', ')}]. Export the model without them.`,
      { code: 'unsupported-operator' },
    );
  }
  const window = readWindow(attributes, attributes.kernel_shape ?? [], spatial);
  const own = { name: node.name };
  const constant = (values: readonly number[], shape: readonly number[]) =>
    castLike(b, b.initializer('constant/averages', float32(values, shape)), x);
  let y: Value = x;
  for (const [axis, size] of spatial.entries()) {
    const outputs = countWindowPositions(window, axis, size, attributes.ceil_mode === 1);
    const values = buildAveragePoolMatrix(window, axis, size, outputs, attributes.count_include_pad === 1);
    if (axis === spatial.length - 1) {
      const turned = range(size * outputs).map((i) => values[(i % outputs) * size + Math.floor(i / outputs)] ?? 0);
      y = b.op('MatMul', [y, constant(turned, [size, outputs])], {}, own);
    } else y = b.op('MatMul', [constant(values, [outputs, size]), y], {}, own);
  }
  return [b.op('Identity', [y], {}, getNodeNames(node))];
};

const intAttribute = (value: number): Attribute => ({ type: 'int', value });

/** Padding that holds the last windows of ceil_mode entirely; nothing where it is not used. */
function computeWholeWindowPads(node: Node, kernel: readonly number[], x: Value): Record<string, Attribute> {
  const attributes = readAttributes('AveragePool', { ...node, op: 'AveragePool' });
  if (attributes.ceil_mode !== 1) return {};
  const spatial: readonly Dim[] = x.type?.dims.slice(2) ?? [];
  if (!isStatic(spatial))
    throw createNodeError(node, 'with ceil_mode it takes images of one size. Fix the image size.');
  const window = readWindow(attributes, kernel, spatial);
  const ends = spatial.map((size, axis) => {
    const last = (countWindowPositions(window, axis, size, true) - 1) * (window.strides[axis] ?? 1);
    const extent = ((kernel[axis] ?? 1) - 1) * (window.dilations[axis] ?? 1) + 1;
    const end = window.pads[axis + kernel.length] ?? 0;
    return Math.max(end, last + extent - size - (window.pads[axis] ?? 0));
  });
  return {
    auto_pad: { type: 'string', value: 'NOTSET' },
    pads: { type: 'ints', value: [...window.pads.slice(0, kernel.length), ...ends] },
  };
}

// Y = (sum of |X|^p under the window)^(1/p)
export const lpPool: Upgrade = (node, [x], b) => {
  const kernel = node.attributes.kernel_shape;
  if (!x || kernel?.type !== 'ints')
    throw new ShiboriError(`Node "${node.name}" (LpPool): it has no kernel_shape.`, { code: 'unsupported-operator' });
  const p = getNumberAttribute(node.attributes, 'p') ?? 2;
  const own = { name: node.name };
  const powers = b.op('Pow', [b.op('Abs', [x], {}, own), numberLike(b, p, x)], {}, own);
  const { p: _, ...rest } = node.attributes;
  // What lies in the padding counts, and so does what ceil_mode adds to it: a sum is an average times one count.
  const attributes = {
    ...rest,
    ...computeWholeWindowPads(node, kernel.value, x),
    count_include_pad: intAttribute(1),
    ceil_mode: intAttribute(0),
  };
  const inner: Node = { ...node, op: 'AveragePool', outputs: [], attributes };
  const dilated = averagePool(inner, [powers], b, 18)?.[0];
  const pooled = dilated ?? b.op('AveragePool', [powers], readAttributes('AveragePool', inner), own);
  const count = kernel.value.reduce((product, size) => product * size, 1);
  const sums = b.op('Mul', [pooled, numberLike(b, count, x)], {}, own);
  return [b.op('Pow', [sums, numberLike(b, 1 / p, x)], {}, getNodeNames(node))];
};

// Y = (sum of |X|^p over all positions)^(1/p)
export const globalLpPool: Upgrade = (node, [x], b) => {
  const dims = x?.type?.dims;
  if (!x || !dims)
    throw new ShiboriError(`Node "${node.name}" (GlobalLpPool): its input's dimensions are not known.`, {
      code: 'unsupported-operator',
    });
  const p = getNumberAttribute(node.attributes, 'p') ?? 2;
  const axes = b.ints(range(dims.length).slice(2));
  if (p === 1 || p === 2)
    return [b.op(p === 1 ? 'ReduceL1' : 'ReduceL2', [x, axes], { keepdims: 1 }, getNodeNames(node))];
  const own = { name: node.name };
  const powers = b.op('Pow', [b.op('Abs', [x], {}, own), numberLike(b, p, x)], {}, own);
  const sums = b.op('ReduceSum', [powers, axes], { keepdims: 1 }, own);
  return [b.op('Pow', [sums, numberLike(b, 1 / p, x)], {}, getNodeNames(node))];
};
