import { formatSuggestion, UsageError } from '../errors.js';
import type { Graph, Node, Value } from './model.js';
import { findUses } from './uses.js';

/** How far `scope` repeats the end of `path`: `/features.1/features.1.0` and `/layer1/layer1.0` are one step down each. */
function appendScope(path: string, scope: string): string {
  const parts = path.split('.');
  const repeated = parts.map((_, i) => parts.slice(i).join('.')).find((end) => scope.startsWith(`${end}.`));
  return path + (repeated === undefined ? `.${scope}` : scope.slice(repeated.length));
}

/**
 * The path of the module a node belongs to, as PyTorch names it.
 *
 * Graphs built here name a node `vgg16.features.0`, or `vgg16.avgpool/1` where a module takes several nodes. Exporters
 * name it by its scopes and what it does: PyTorch's `/vgg16/features/features.0/Conv`, where scopes repeat their
 * parent's path, is `vgg16.features.0`; TensorFlow's `model/conv1/BiasAdd` is `model.conv1`. What stands outside of all
 * scopes keeps its name (`Conv_12`, `/Relu_1`). A node without a name is called as its output.
 */
export function getModulePath(node: Node): string {
  // Copies of a node that became several are counted: `NAME/1`.
  const name = node.name.replace(/\/\d+$/, '');
  if (name === '') return node.outputs.find((output) => output !== undefined)?.name ?? node.op;
  const scopes = name.split('/').filter((scope) => scope !== '');
  const [first = name, ...rest] = scopes.length > 1 ? scopes.slice(0, -1) : scopes;
  return rest.reduce(appendScope, first);
}

/** A module of the graph: the nodes that share a path, and the one activation that leaves them. */
export interface Layer {
  readonly path: string;
  readonly nodes: readonly Node[];
  /** The module's output activation. */
  readonly output: Value;
}

/** The modules of a graph in order of execution. */
export function listLayers(graph: Graph): Layer[] {
  const groups = new Map<string, Node[]>();
  for (const node of graph.nodes) {
    const path = getModulePath(node);
    const group = groups.get(path);
    if (group) group.push(node);
    else groups.set(path, [node]);
  }
  const uses = findUses(graph);
  const outputs = new Set(graph.outputs);
  const layers: Layer[] = [];
  for (const [path, nodes] of groups) {
    const inside = new Set(nodes);
    const leaving = nodes
      .flatMap((node) => node.outputs)
      .filter((value): value is Value => value !== undefined)
      .filter((value) => outputs.has(value) || uses.consumers(value).some((consumer) => !inside.has(consumer)));
    const output = leaving.at(-1) ?? nodes.at(-1)?.outputs[0];
    if (output) layers.push({ path, nodes, output });
  }
  return layers;
}

/**
 * The layer with this module path, or with this unique suffix of one (`classifier.0` for `vgg16.classifier.0`), or the
 * one node that is called so or computes the value that is.
 *
 * @throws UsageError when none or several fit; names the nearest path.
 */
export function findLayer(graph: Graph, name: string): Layer {
  const layers = listLayers(graph);
  const exact = layers.find((layer) => layer.path === name);
  if (exact) return exact;
  const fitting = layers.filter((layer) => layer.path.endsWith(`.${name}`));
  const [only] = fitting;
  if (only && fitting.length === 1) return only;
  if (fitting.length > 1) {
    throw new UsageError(
      `Layer "${name}" is ambiguous: it fits ${fitting.map((layer) => layer.path).join(', ')}. Give more of the path.`,
    );
  }
  for (const node of graph.nodes) {
    const output = node.outputs.find((value) => value && (node.name === name || value.name === name));
    if (output) return { path: getModulePath(node), nodes: [node], output };
  }
  const candidates = layers.flatMap((layer) => [layer.path, layer.path.split('.').slice(-2).join('.')]);
  throw new UsageError(
    `No layer is called "${name}".${formatSuggestion(name, candidates)} \`summarize\` lists the layers.`,
  );
}

/** The activation that enters a module: what its nodes read that is neither theirs nor an initializer. */
export function findModuleInput(graph: Graph, path: string): Value | undefined {
  const own = graph.nodes.filter((node) => getModulePath(node) === path);
  const inside = new Set(own.flatMap(({ outputs }) => outputs));
  return own
    .flatMap(({ inputs }) => inputs)
    .find((value) => value && !inside.has(value) && !graph.initializers.has(value));
}

/**
 * Whether a module path or parameter name fits a pattern such as `classifier.*`: `*` stands for anything, and the
 * pattern may leave out leading modules.
 */
export function matchesPattern(name: string, pattern: string): boolean {
  const expression = pattern
    .split('*')
    .map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'))
    .join('.*');
  return new RegExp(`^(?:.*\\.)?${expression}$`).test(name);
}
