// Where a model looks in a picture: node examples/grad-cam.js model.onnx photo.png
import { explain } from 'shibori';

const [, , model = 'model.onnx', photo = 'photo.png'] = process.argv;
const { layer, images } = await explain({ model, images: photo, output: 'maps' });
const [first] = images;
if (!first) throw new Error('There was no picture to explain.');

console.log(`${photo}: ${first.predictedName}, map of ${layer}: ${first.map.dims.join('×')} in ${first.pictureFile}`);
