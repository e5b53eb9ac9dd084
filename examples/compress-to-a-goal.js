// Half of the parameters; scheme and ranks of each layer are chosen from images:
//   node examples/compress-to-a-goal.js model.onnx photos
import { compress } from 'shibori';

const [, , model = 'model.onnx', data = 'photos'] = process.argv;
const result = await compress({
  model,
  data,
  goal: { parameters: 0.5 },
  output: 'small.onnx',
  allowSlower: true,
  onProgress: ({ phase, done, total }) => console.error(`${phase}: ${done} of ${total}`),
});

const { before, after } = result.size;
console.log(`${before.parameters} parameters, now ${after.parameters}, in ${result.output}`);
