// The gradient of the highest score with respect to the pixels: node examples/first-gradient.js model.onnx
import { float32, gradients, max } from 'shibori';

const [, , model = 'model.onnx'] = process.argv;
const images = float32(new Float32Array(3 * 8 * 8).fill(0.5), [1, 3, 8, 8]);
const { gradients: g, value } = await gradients(model, { of: (scores) => max(scores), wrt: 'input' }, images);

console.log(`highest score ${value.data[0]}, gradient of dimensions ${g.input.dims.join('×')}`);
