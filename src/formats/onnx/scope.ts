import type { Value } from '../../graph/model.js';

/**
 * The names that are visible in a graph: its own, and those of the graphs around it. Names matter in files only; this
 * is where they become values and values become names.
 */
export class Scope {
  readonly #values = new Map<string, Value>();
  /** The values of graphs around this one that were looked up from inside. */
  readonly captured = new Set<Value>();

  constructor(readonly outer?: Scope) {}

  /** Adds a value of this graph; returns `false` when the graph has another value of that name. */
  declare(value: Value): boolean {
    const known = this.#values.get(value.name);
    if (known && known !== value) return false;
    this.#values.set(value.name, value);
    return true;
  }

  /** The value that a name stands for here. */
  find(name: string): Value | undefined {
    const own = this.#values.get(name);
    if (own) return own;
    const outer = this.outer?.find(name);
    if (outer) this.captured.add(outer);
    return outer;
  }
}
