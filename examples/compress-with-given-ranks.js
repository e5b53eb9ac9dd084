// One layer as a tensor train whose modes and ranks you choose: node examples/compress-with-given-ranks.js model.onnx
import { compress } from 'shibori';

const [, , model = 'model.onnx'] = process.argv;
const result = await compress({
  model,
  ranks: { 'classifier.0': { layout: 'tt', in: [8, 8], out: [3, 4], ranks: [3, 6, 8] } },
  output: 'tensor-train.onnx',
});

for (const { name, ranks, error } of result.layers) {
  console.log(`${name}: ranks ${ranks.join(', ')}, relative error ${error.toFixed(3)}`);
}
