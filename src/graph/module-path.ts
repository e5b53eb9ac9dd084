import { suggestion, UsageError } from '../errors.js';
import type { Graph, Node, Value } from './model.js';
import { usesOf } from './uses.js';

/**
 * The path of the module a node belongs to, as PyTorch names it.
 *
 * Graphs built here name a node `vgg16.features.0`, or `vgg16.avgpool/1` where a module takes several nodes. PyTorch's
 * exporter names it `/vgg16/features/features.0/Conv`: scopes repeat their parent's path, so the last scope before the
 * operator is the path below the last container. Other exporters' names are kept as they are.
 */
export function modulePath(node: Node): string {
  if (!node.name.startsWith('/')) return node.name.split('/')[0] ?? node.name;
  const scopes = node.name.split('/').slice(1, -1);
  let path = '';
  for (const scope of scopes) {
    // `/features/features.0`: the child's scope already holds the parent's last name.
    const last = path.split('.').at(-1) ?? '';
    if (path === '') path = scope;
    else if (scope.startsWith(`${last}.`)) path += scope.slice(last.length);
    else path += `.${scope}`;
  }
  return path === '' ? node.name.slice(1) || node.name : path;
}

/** A module of the graph: the nodes that share a path, and the one activation that leaves them. */
export interface Layer {
  readonly path: string;
  readonly nodes: readonly Node[];
  /** The module's output activation. */
  readonly output: Value;
}

/** The modules of a graph in order of execution. Nodes without a name are modules of their own, named by output. */
export function layersOf(graph: Graph): Layer[] {
  const groups = new Map<string, Node[]>();
  for (const node of graph.nodes) {
    const path = modulePath(node) || node.outputs[0]?.name || node.op;
    const group = groups.get(path);
    if (group) group.push(node);
    else groups.set(path, [node]);
  }
  const uses = usesOf(graph);
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
 * The layer with this module path, or with this unique suffix of one (`classifier.0` for `vgg16.classifier.0`).
 *
 * @throws UsageError when none or several fit; names the nearest path.
 */
export function findLayer(graph: Graph, name: string): Layer {
  const layers = layersOf(graph);
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
  const byNode = layers.find((layer) => layer.nodes.some((node) => node.name === name) || layer.output.name === name);
  if (byNode) return byNode;
  const candidates = layers.flatMap((layer) => [layer.path, layer.path.split('.').slice(-2).join('.')]);
  throw new UsageError(
    `No layer is called "${name}".${suggestion(name, candidates)} \`shibori summary MODEL\` lists the layers.`,
  );
}

/** The activation that enters a module: what its nodes read that is neither theirs nor an initializer. */
export function moduleInput(graph: Graph, path: string): Value | undefined {
  const own = graph.nodes.filter((node) => modulePath(node) === path);
  const inside = new Set(own.flatMap(({ outputs }) => outputs));
  return own
    .flatMap(({ inputs }) => inputs)
    .find((value) => value && !inside.has(value) && !graph.initializers.has(value));
}

/**
 * Whether a module path or parameter name fits a pattern such as `classifier.*`: `*` stands for anything, and the
 * pattern may leave out leading modules.
 */
export function fitsPattern(name: string, pattern: string): boolean {
  const expression = pattern
    .split('*')
    .map((part) => part.replace(/[.+?^${}()|[\]\\]/g, '\\$&'))
    .join('.*');
  return new RegExp(`^(?:.*\\.)?${expression}$`).test(name);
}
