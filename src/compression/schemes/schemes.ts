/*
 * The ways of taking a layer's weight apart. Over its own axes T[in, height, width, out] (one bond: a singular value
 * decomposition):
 *   svd        in·height·width | out           k×k to r channels, 1×1        (Denton et al. 2014, arXiv:1404.0736)
 *   svd-input  in | height·width·out           1×1 to r channels, k×k
 *   spatial    in·height | width·out           k×1 to r channels, 1×k        (Jaderberg et al. 2014, arXiv:1405.3866)
 *   tucker2    in | height·width | out         1×1, k×k, 1×1                 (Kim et al. 2015, arXiv:1511.06530)
 *   tt-conv    in | height | width | out       1×1, k×1, 1×k, 1×1            (Oseledets 2011, on the kernel's own axes)
 * Over modes of a linear layer's inputs and outputs: tt, and tt-matrix (Novikov et al. 2015, arXiv:1509.06569).
 */
import { sizeOf } from '../../tensor/dims.js';
import { chainScheme } from './chain-scheme.js';
import type { LayerShape, Scheme, SchemeName } from './scheme.js';
import { ttScheme } from './tt-scheme.js';

const anyLayer = (): undefined => undefined;
const spatialKernel = ({ kernel }: LayerShape): string | undefined =>
  sizeOf(kernel) > 1 ? undefined : 'its kernel is 1×1';
const twoSided = ({ kernel }: LayerShape): string | undefined =>
  kernel[0] > 1 && kernel[1] > 1 ? undefined : 'its kernel is one pixel high or wide';

/** The schemes by name. */
export const schemes: Readonly<Record<SchemeName, Scheme>> = {
  svd: chainScheme({
    name: 'svd',
    groups: [['in', 'height', 'width'], ['out']],
    bonds: ['output'],
    refuses: anyLayer,
  }),
  'svd-input': chainScheme({
    name: 'svd-input',
    groups: [['in'], ['height', 'width', 'out']],
    bonds: ['input'],
    refuses: spatialKernel,
  }),
  spatial: chainScheme({
    name: 'spatial',
    groups: [
      ['in', 'height'],
      ['width', 'out'],
    ],
    bonds: ['middle'],
    refuses: twoSided,
  }),
  tucker2: chainScheme({
    name: 'tucker2',
    groups: [['in'], ['height', 'width'], ['out']],
    bonds: ['input', 'output'],
    refuses: spatialKernel,
  }),
  'tt-conv': chainScheme({
    name: 'tt-conv',
    groups: [['in'], ['height'], ['width'], ['out']],
    bonds: ['input', 'middle', 'output'],
    refuses: twoSided,
  }),
  tt: ttScheme('tt'),
  'tt-matrix': ttScheme('tt-matrix'),
};
