// Says how many batches it has been sent, as images of 1×1 pixel; never before the second of them is there.
import { parentPort } from 'node:worker_threads';

const requests = [];
parentPort.on('message', ({ id, images }) => {
  requests.push({ id, images });
  if (requests.length < 2) return;
  for (const request of requests.splice(0).reverse()) {
    const data = Float32Array.from(request.images.flatMap(({ index }) => [index, index, index]));
    const loaded = { images: { dtype: 'float32', dims: [request.images.length, 3, 1, 1], data }, bad: [] };
    parentPort.postMessage({ id: request.id, loaded }, [data.buffer]);
  }
});
