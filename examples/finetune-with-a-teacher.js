// A smaller model learns from the predictions of the original, without labels:
//   node examples/finetune-with-a-teacher.js model.onnx photos
import { compress, evaluate, finetune } from 'shibori';

const [, , original = 'model.onnx', data = 'photos'] = process.argv;
const { model } = await compress({ model: original, data, goal: { parameters: 0.4 }, allowSlower: true });
const { model: tuned } = await finetune({
  model,
  data,
  teacher: original,
  plan: { train: '*', epochs: 2, batch: 8, learningRate: 1e-3 },
});

const before = await evaluate({ model, data });
const after = await evaluate({ model: tuned, data });
console.log(`top-1 ${before.top1.toFixed(1)} % before, ${after.top1.toFixed(1)} % after`);
