// An operator that is made of operators that the table has, so that its gradient follows; and the check of that gradient
// against finite differences. (CONTRIBUTING.md says how an operator with a rule of its own gets into the table.)
import { float32 } from 'shibori';
import { checkGradient } from 'shibori/autodiff';
import { referenceEngine } from 'shibori/engine';
import { GraphBuilder } from 'shibori/ops';

/**
 * Adds the nodes of Mish: x tanh(softplus(x)) (arXiv:1908.08681).
 *
 * @param {GraphBuilder} builder
 * @param {import('shibori/graph').Value} x
 */
function mish(builder, x) {
  return builder.op('Mul', [x, builder.op('Tanh', [builder.op('Softplus', [x])])]);
}

const builder = new GraphBuilder();
const x = builder.input('x', 'float32', [2, 3]);
builder.output(mish(builder, x));
const graph = builder.build('mish');

const feeds = { x: float32([-2, -0.5, 0.1, 0.7, 1.5, 3], [2, 3]) };
const { value, error } = await checkGradient(graph, referenceEngine(), { wrt: [x], feeds });
console.log(`d/d${value}: off by ${error.toExponential(1)}`);
if (!(error < 1e-6)) throw new Error('The gradient is wrong.');
