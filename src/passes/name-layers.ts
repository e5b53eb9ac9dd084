/*
 * A layer is found by its module path, which its nodes' names give. Files give one name to several nodes, and one path to
 * several layers (the projections of attention): here each gets its own.
 */
import type { Graph, Node, Value } from '../graph/model.js';
import { getModulePath } from '../graph/module-path.js';
import { isParameter } from '../graph/parameters.js';
import { findUses, type Uses } from '../graph/uses.js';
import type { PassResult } from './pass.js';

/** A name that is not taken: `base`, or `base_2`, `base_3`, … */
function findFreeName(base: string, taken: Set<string>): string {
  let name = base;
  for (let count = 2; taken.has(name); count++) name = `${base}_${count}`;
  taken.add(name);
  return name;
}

/**
 * The graph with one name for each node: of several `conv`, the second is `conv_2`. Nodes without a name stay so.
 *
 * @returns also a note on what was renamed.
 */
export function nameNodesApart(graph: Graph): PassResult {
  const taken = new Set(graph.nodes.map(({ name }) => name));
  const seen = new Set<string>(['']);
  const renamed: string[] = [];
  const nodes = graph.nodes.map((node) => {
    if (!seen.has(node.name)) {
      seen.add(node.name);
      return node;
    }
    if (node.name === '') return node;
    const name = findFreeName(node.name, taken);
    renamed.push(`"${name}"`);
    return { ...node, name };
  });
  if (renamed.length === 0) return { graph, notes: [] };
  const shown =
    renamed.length > 4 ? `${renamed.slice(0, 3).join(', ')} and ${renamed.length - 3} more` : renamed.join(', ');
  return {
    graph: { ...graph, nodes },
    notes: [{ applied: true, text: `Several nodes have one name; the later ones are called ${shown} here.` }],
  };
}

/** Parameters of layers that were decomposed here: the nodes that read them are one layer. */
const FACTOR_NAME = /\.(factor|tt_W)\d+$/;

/** Operators whose weight makes a layer. */
const layerOperators: ReadonlySet<string> = new Set(['Conv', 'ConvTranspose', 'Gemm', 'MatMul', 'Einsum']);

/** The Add that gives a product its bias. */
function findBiasAdd(
  { op, outputs: [product] }: Node,
  uses: Uses,
  isWeight: (value?: Value) => boolean,
): Node | undefined {
  const [add, other] = product && (op === 'MatMul' || op === 'Einsum') ? uses.consumers(product) : [];
  return add?.op === 'Add' && !other && add.inputs.some((input) => isWeight(input)) ? add : undefined;
}

/** What a parameter of a module is called inside of it, less the role: `at.out_proj.weight` of `at` is `out_proj`. */
function findNameInside(path: string, parameter: string): string | undefined {
  const parts = path.split('.');
  const prefix = parts.map((_, i) => `${parts.slice(i).join('.')}.`).find((end) => parameter.startsWith(end));
  const inside = prefix === undefined ? '' : parameter.slice(prefix.length).replace(/[._]?(weight|bias|kernel)$/, '');
  return inside === '' ? undefined : inside;
}

/**
 * The graph with a module path for each layer where a module holds several: they are called by their parameters
 * (`at.in_proj`, `at.out_proj`), or else by their nodes (`at.MatMul`).
 */
export function nameLayersApart(graph: Graph): PassResult {
  const uses = findUses(graph);
  const isWeight = (value?: Value): boolean => {
    const data = value && graph.initializers.get(value);
    return value !== undefined && data !== undefined && isParameter(value, data);
  };
  const modules = new Map<string, Node[]>();
  for (const node of graph.nodes) {
    if (!layerOperators.has(node.op) || !node.inputs.some(isWeight)) continue;
    const path = getModulePath(node);
    modules.set(path, [...(modules.get(path) ?? []), node]);
  }
  const taken = new Set(graph.nodes.flatMap((node) => [node.name, getModulePath(node)]));
  const names = new Map<Node, string>();
  for (const [path, nodes] of modules) {
    const isFactor = nodes.some(({ inputs }) => inputs.some((input) => input && FACTOR_NAME.test(input.name)));
    if (nodes.length < 2 || isFactor) continue;
    for (const node of nodes) {
      const add = findBiasAdd(node, uses, isWeight);
      const parameters = [...node.inputs, ...(add?.inputs ?? [])].flatMap((input) =>
        input && isWeight(input) ? [input.name] : [],
      );
      const own = parameters.map((name) => findNameInside(path, name)).find((name) => name !== undefined);
      const last = node.name === '' || node.name === path ? node.op : node.name.split('/').at(-1);
      const name = findFreeName(`${path}.${own ?? last}`, taken);
      names.set(node, name);
      if (add) names.set(add, `${name}/1`);
    }
  }
  const renamed = (node: Node): Node => ({ ...node, name: names.get(node) ?? node.name });
  return { graph: names.size === 0 ? graph : { ...graph, nodes: graph.nodes.map(renamed) }, notes: [] };
}
