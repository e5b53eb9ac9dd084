// A server that answers a picture with its class and its heatmap: node examples/explain-in-an-http-server.js model.onnx
//   curl --data-binary @photo.png http://localhost:8080
import { createServer } from 'node:http';
import { buffer } from 'node:stream/consumers';
import { explain, openModel, ShiboriError } from 'shibori';

const [, , file = 'model.onnx', port = '8080'] = process.argv;
const model = await openModel(file); // once, not for each request

const server = createServer(async (request, response) => {
  try {
    const { images } = await explain({ model, images: new Uint8Array(await buffer(request)) });
    const [first] = images;
    if (!first) throw new Error('One picture has one explanation.');
    const { predictedName, probability, map } = first;
    response.setHeader('content-type', 'application/json');
    response.end(JSON.stringify({ class: predictedName, probability, dims: map.dims, map: Array.from(map.data) }));
  } catch (error) {
    // What the caller can mend has a code; anything else is our fault.
    response.statusCode = error instanceof ShiboriError ? 400 : 500;
    response.end(error instanceof ShiboriError ? error.message : 'internal error');
  }
});
server.listen(Number(port), () => {
  const address = server.address();
  console.log(`http://localhost:${typeof address === 'object' ? address?.port : port}`);
});
