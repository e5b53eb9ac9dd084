import type { ShiboriError } from '../../errors.js';
import type { ByteReader } from './byte-reader.js';
import { AllowedCall, type Fail, Opaque, type Value } from './values.js';

/**
 * Each operation makes at most one object, so this bounds memory (some hundred MB) and time. A checkpoint takes about
 * 40 for a tensor.
 */
const MOST_OPERATIONS = 5_000_000;

/** The state of a pickle being read: a stack with marks, and the objects made so far by number. */
export class PickleMachine {
  readonly #stack: Value[] = [];
  /** Heights of the stack. */
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, Value>();
  #operations = 0;

  constructor(
    readonly reader: ByteReader,
    /** The object outside the pickle that an identifier stands for. */
    readonly persistent: (id: Value) => Value,
  ) {}

  get fail(): Fail {
    return this.reader.fail;
  }

  /** Number of objects in the memo. */
  get memoized(): number {
    return this.#memo.size;
  }

  /** Counts work. Throws when it becomes more than a model can need. */
  spend(operations: number): void {
    this.#operations += operations;
    if (this.#operations > MOST_OPERATIONS) {
      throw this.fail(`its pickle takes more than ${MOST_OPERATIONS} operations, far more than a model does.`);
    }
  }

  malformed(problem: string): ShiboriError {
    return this.fail(
      `its pickle is damaged or not written by torch.save: ${problem}, before byte ${this.reader.position}. ` +
        'Copy or download it again.',
    );
  }

  push(value: Value): void {
    this.#stack.push(value);
  }

  mark(): void {
    this.#marks.push(this.#stack.length);
  }

  top(): Value {
    const top = this.#stack.at(-1);
    if (top === undefined) throw this.malformed('nothing is on its stack');
    return top;
  }

  pop(): Value {
    const top = this.top();
    this.#stack.pop();
    return top;
  }

  /** The last `count` objects, taken off the stack. */
  take(count: number): Value[] {
    if (this.#stack.length < count) throw this.malformed('too little is on its stack');
    return this.#stack.splice(-count);
  }

  /** The objects since the last mark, taken off the stack. */
  takeToMark(): Value[] {
    const mark = this.#marks.pop();
    if (mark === undefined || mark > this.#stack.length) throw this.malformed('a mark is missing on its stack');
    return this.#stack.splice(mark);
  }

  memoize(index: number): void {
    this.#memo.set(index, this.top());
  }

  recall(index: number): void {
    const value = this.#memo.get(index);
    if (value === undefined) throw this.malformed(`object ${index} is used before it is made`);
    this.push(value);
  }

  append(items: readonly Value[]): void {
    const list = this.top();
    if (!Array.isArray(list)) throw this.malformed('something that is no list is appended to');
    for (const item of items) list.push(item);
  }

  setItems(items: readonly Value[]): void {
    const target = this.top();
    if (!(target instanceof Map) || items.length % 2 !== 0) throw this.malformed('a dictionary is not filled by pairs');
    for (let i = 0; i < items.length; i += 2) target.set(items[i] ?? null, items[i + 1] ?? null);
  }

  /** Calls the function of the allow-list below its arguments. */
  call(): void {
    const [callee, args] = this.take(2);
    if (!(callee instanceof AllowedCall)) throw this.malformed('something that is no function is called');
    if (!Array.isArray(args)) throw this.malformed(`${callee.name} is called without a list of arguments`);
    // An argument may be copied, and a short pickle can pass the same long list time and again.
    for (const arg of args) if (Array.isArray(arg)) this.spend(arg.length);
    this.push(callee.call(args, this.fail));
  }

  /** Takes attributes: the `_metadata` of a state dict, the content of tokens. None is needed. */
  build(): void {
    this.pop();
    const target = this.top();
    if (!(target instanceof Map || target instanceof Opaque))
      throw this.malformed('attributes are set on a plain value');
  }
}
