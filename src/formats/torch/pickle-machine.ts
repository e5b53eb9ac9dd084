import type { ShiboriError } from '../../errors.js';
import type { ByteReader } from './byte-reader.js';
import { AllowedCall, type Fail, OpaqueObject, PickledTensor, type PickleValue, UnknownName } from './pickle-values.js';
import { setOnce } from './set-once.js';

/**
 * Each operation makes at most one object, so this bounds memory (some hundred MB) and time. A checkpoint takes about
 * 40 for a tensor.
 */
const MOST_OPERATIONS = 5_000_000;

/** The state of a pickle being read: a stack with marks, and the objects made so far by number. */
export class PickleMachine {
  readonly #stack: PickleValue[] = [];
  /** Heights of the stack. */
  readonly #marks: number[] = [];
  readonly #memo = new Map<number, PickleValue>();
  #operations = 0;
  /** Names that are called and that nothing here stands for. */
  readonly called = new Set<string>();

  constructor(
    readonly reader: ByteReader,
    /** The object outside the pickle that an identifier stands for. */
    readonly persistent: (id: PickleValue) => PickleValue,
  ) {}

  get fail(): Fail {
    return this.reader.fail;
  }

  /** Number of objects in the memo. */
  get memoSize(): number {
    return this.#memo.size;
  }

  /** Counts work. Throws when it becomes more than a model can need. */
  countOperations(operations: number): void {
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

  push(value: PickleValue): void {
    this.#stack.push(value);
  }

  mark(): void {
    this.#marks.push(this.#stack.length);
  }

  top(): PickleValue {
    const top = this.#stack.at(-1);
    if (top === undefined) throw this.malformed('nothing is on its stack');
    return top;
  }

  pop(): PickleValue {
    const top = this.top();
    this.#stack.pop();
    return top;
  }

  /** The last `count` objects, taken off the stack. */
  take(count: number): PickleValue[] {
    if (this.#stack.length < count) throw this.malformed('too little is on its stack');
    return this.#stack.splice(-count);
  }

  /** The objects since the last mark, taken off the stack. */
  takeToMark(): PickleValue[] {
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

  append(items: readonly PickleValue[]): void {
    const list = this.top();
    // The content of a list of its own class is not needed.
    if (list instanceof OpaqueObject) return;
    if (!Array.isArray(list)) throw this.malformed('something that is no list is appended to');
    for (const item of items) list.push(item);
  }

  setItems(items: readonly PickleValue[]): void {
    const object = this.top();
    if (object instanceof OpaqueObject) object.entries ??= new Map();
    const target = object instanceof OpaqueObject ? object.entries : object;
    if (!(target instanceof Map) || items.length % 2 !== 0) throw this.malformed('a dictionary is not filled by pairs');
    for (let i = 0; i < items.length; i += 2) {
      setOnce(target, items[i] ?? null, items[i + 1] ?? null, this.fail);
    }
  }

  /** The dictionary that the pairs since the last mark make. */
  pushDictionary(): void {
    const items = this.takeToMark();
    this.push(new Map());
    this.setItems(items);
  }

  /** Calls the function below its arguments. What is not on the allow-list is not called: it becomes an opaque object. */
  call(): void {
    const [callee = null, args] = this.take(2);
    if (!Array.isArray(args)) throw this.malformed('a function is called without a list of arguments');
    this.push(this.makeCallResult(callee, args));
  }

  /** What calling a function gives. */
  makeCallResult(callee: PickleValue, args: readonly PickleValue[]): PickleValue {
    if (callee instanceof UnknownName || callee instanceof OpaqueObject) {
      this.called.add(callee.name);
      return new OpaqueObject(callee.name, args);
    }
    if (!(callee instanceof AllowedCall)) throw this.malformed('something that is no function is called');
    // An argument may be copied, and a short pickle can pass the same long list time and again.
    for (const arg of args) if (Array.isArray(arg)) this.countOperations(arg.length);
    return callee.call(args, this.fail);
  }

  /** Takes attributes: those of an object are kept, those of dictionaries and tensors (`_metadata`) are not needed. */
  build(): void {
    const state = this.pop();
    const target = this.top();
    if (target instanceof OpaqueObject) target.state = state;
    else if (!(target instanceof Map || target instanceof PickledTensor)) {
      throw this.malformed('attributes are set on a plain value');
    }
  }
}
