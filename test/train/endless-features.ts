import { openFeatureCache } from '../../src/io/feature-cache.js';

/**
 * A program that is to be killed: it fills a store, each record with a number of its own. Arguments: folder, records,
 * elements of each.
 */
const [folder = '', count = '', elements = ''] = process.argv.slice(2);
const store = openFeatureCache(folder, Number(count), Number(elements));
for (let view = 0; ; view++) {
  for (let index = 0; index < Number(count); index += 4) {
    const indices = [index, index + 1, index + 2, index + 3];
    const features = new Float32Array(4 * Number(elements));
    for (const [row, i] of indices.entries()) {
      features.fill(1 + view * 1000 + i, row * Number(elements), (row + 1) * Number(elements));
    }
    store.write(view, indices, features);
    process.stdout.write('.');
  }
}
