/*
 * The ways of taking a layer's weight apart. Over its own axes T[in, height, width, out] (one rank: a singular value
 * decomposition):
 *   svd        in·height·width | out           k×k to r channels, 1×1        (Denton et al. 2014, arXiv:1404.0736)
 *   svd-input  in | height·width·out           1×1 to r channels, k×k
 *   spatial    in·height | width·out           k×1 to r channels, 1×k        (Jaderberg et al. 2014, arXiv:1405.3866)
 *   tucker2    in | height·width | out         1×1, k×k, 1×1                 (Kim et al. 2015, arXiv:1511.06530)
 *   tt-conv    in | height | width | out       1×1, k×1, 1×k, 1×1            (Oseledets 2011, on the kernel's own axes)
 * Over modes of a linear layer's inputs and outputs: tt, and tt-matrix (Novikov et al. 2015, arXiv:1509.06569).
 */
import { countElements } from '../../tensor/dims.js';
import { createChainScheme } from './chain-scheme.js';
import type { DecompositionScheme, LayerShape, SchemeName } from './decomposition-scheme.js';
import { createTtScheme } from './tt-scheme.js';

const acceptAnyLayer = (): undefined => undefined;
const requireSpatialKernel = ({ kernel }: LayerShape): string | undefined =>
  countElements(kernel) > 1 ? undefined : 'its kernel is 1×1';
const requireTwoSidedKernel = ({ kernel }: LayerShape): string | undefined =>
  kernel[0] > 1 && kernel[1] > 1 ? undefined : 'its kernel is one pixel high or wide';

/** The schemes by name. */
export const schemes: Readonly<Record<SchemeName, DecompositionScheme>> = {
  svd: createChainScheme({
    name: 'svd',
    groups: [['in', 'height', 'width'], ['out']],
    unfoldings: ['output'],
    findRefusal: acceptAnyLayer,
  }),
  'svd-input': createChainScheme({
    name: 'svd-input',
    groups: [['in'], ['height', 'width', 'out']],
    unfoldings: ['input'],
    findRefusal: requireSpatialKernel,
  }),
  spatial: createChainScheme({
    name: 'spatial',
    groups: [
      ['in', 'height'],
      ['width', 'out'],
    ],
    unfoldings: ['middle'],
    findRefusal: requireTwoSidedKernel,
  }),
  tucker2: createChainScheme({
    name: 'tucker2',
    groups: [['in'], ['height', 'width'], ['out']],
    unfoldings: ['input', 'output'],
    findRefusal: requireSpatialKernel,
  }),
  'tt-conv': createChainScheme({
    name: 'tt-conv',
    groups: [['in'], ['height'], ['width'], ['out']],
    unfoldings: ['input', 'middle', 'output'],
    findRefusal: requireTwoSidedKernel,
  }),
  tt: createTtScheme('tt'),
  'tt-matrix': createTtScheme('tt-matrix'),
};
