// A pass takes a graph and returns another one and notes of what was done. This one removes Dropout, which does nothing
// when a model predicts: node examples/write-a-pass.js model.onnx
import { openModel } from 'shibori';
import { rewrite, runPasses } from 'shibori/passes';

/** @type {import('shibori/passes').Pass} */
function removeDropout(graph) {
  const removed = graph.nodes.filter(({ op }) => op === 'Dropout');
  if (removed.length === 0) return { graph, notes: [] };
  return {
    // A node is replaced by the values that stand for its outputs; the rest is copied.
    graph: rewrite(graph, { node: (node, inputs) => (node.op === 'Dropout' ? [inputs[0]] : undefined) }),
    notes: removed.map(({ name }) => ({ node: name, applied: true, text: `removed Dropout "${name}"` })),
  };
}

const [, , file = 'model.onnx'] = process.argv;
const model = await openModel(file);
const { graph, notes } = runPasses(model.graph, [removeDropout]);

console.log(`${model.graph.nodes.length} nodes, now ${graph.nodes.length}`);
for (const { text } of notes) console.log(text);
