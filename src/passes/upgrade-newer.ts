/**
 * Operator sets 19 to 27 as set 18 has them. What other operators gained there are element types that models are not
 * computed in (float8, int4, strings). Source: ONNX's changelog of operators.
 */
import { getElementTypeNumber } from '../graph/element-types.js';
import { Value } from '../graph/model.js';
import { attention, rotaryEmbedding } from './expand-attention.js';
import { affineGrid, centerCropPad, columnsToImage, cumulativeProduct, gridSample } from './expand-images.js';
import { copyWithoutAttributes, createNodeError, getNodeNames, type Upgrade } from './upgrade.js';
import { dequantizeLinear, quantizeLinear } from './upgrade-quantization.js';

/** Removes attributes that only matter to element types that nothing is computed in. */
const dropAttributes =
  (...gone: readonly string[]): Upgrade =>
  (node, inputs, b) =>
    gone.some((name) => node.attributes[name]) ? copyWithoutAttributes(node, inputs, b, gone) : undefined;

/** Of bools since set 20: as integers, 0 or 1. */
export const reduceBools: Upgrade = (node, [x, axes], b) => {
  if (x?.type?.dtype !== 'bool') return undefined;
  const own = { name: node.name };
  const number = b.op('Cast', [x], { to: getElementTypeNumber('int32') }, own);
  const [reduced] = b.copy({ ...node, outputs: [new Value(`${node.name}/reduced`, undefined)] }, [number, axes]);
  if (!reduced) throw createNodeError(node, 'it has no output.');
  return [b.op('Cast', [reduced], { to: getElementTypeNumber('bool') }, getNodeNames(node))];
};

export const newerUpgrades = {
  /** How float8 overflows (19) and is rounded (24). */
  Cast: dropAttributes('saturate', 'round_mode'),
  /** In which precision half numbers are counted (27). */
  Range: dropAttributes('stash_type'),
  QuantizeLinear: quantizeLinear,
  DequantizeLinear: dequantizeLinear,
  Attention: attention,
  RotaryEmbedding: rotaryEmbedding,
  CenterCropPad: centerCropPad,
  Col2Im: columnsToImage,
  AffineGrid: affineGrid,
  GridSample: gridSample,
  CumProd: cumulativeProduct,
} satisfies Record<string, Upgrade>;
