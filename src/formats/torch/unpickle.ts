/*
 * The part of Python's pickle language (protocols 2 to 4) that files of tensors are written in. Objects are built from
 * an allow-list; nothing is executed, no recursion follows the input, and the work is bounded.
 * Source: the opcode table of CPython's pickletools, whose names stand beside the operations.
 */
import { lookUp, refusal } from './allowed.js';
import { ByteReader } from './byte-reader.js';
import { PickleMachine } from './pickle-machine.js';
import { type Fail, Opaque, type Value } from './values.js';

const STOP = 0x2e;

type Operation = (machine: PickleMachine, reader: ByteReader) => void;

const byCharacter: ReadonlyMap<string, Operation> = new Map<string, Operation>([
  ['\x80', checkProtocol], // PROTO
  ['\x95', (_, reader) => void reader.int64()], // FRAME, a hint for streams

  ['(', (machine) => machine.mark()],
  ['0', (machine) => void machine.pop()],
  ['1', (machine) => void machine.takeToMark()], // POP_MARK
  ['2', (machine) => machine.push(machine.top())], // DUP

  ['q', (machine, reader) => machine.memoize(reader.uint8())], // BINPUT
  ['r', (machine, reader) => machine.memoize(reader.uint32())], // LONG_BINPUT
  ['\x94', (machine) => machine.memoize(machine.memoized)], // MEMOIZE
  ['h', (machine, reader) => machine.recall(reader.uint8())], // BINGET
  ['j', (machine, reader) => machine.recall(reader.uint32())], // LONG_BINGET

  ['N', (machine) => machine.push(null)],
  ['\x88', (machine) => machine.push(true)],
  ['\x89', (machine) => machine.push(false)],
  ['K', (machine, reader) => machine.push(reader.uint8())], // BININT1
  ['M', (machine, reader) => machine.push(reader.uint16())], // BININT2
  ['J', (machine, reader) => machine.push(reader.int32())], // BININT
  ['\x8a', (machine, reader) => machine.push(reader.integer(reader.uint8()))], // LONG1
  ['G', (machine, reader) => machine.push(reader.float64())], // BINFLOAT
  ['U', (machine, reader) => machine.push(reader.text(reader.uint8()))], // SHORT_BINSTRING, of Python 2
  ['T', (machine, reader) => machine.push(reader.text(reader.uint32()))], // BINSTRING, of Python 2
  ['\x8c', (machine, reader) => machine.push(reader.text(reader.uint8()))], // SHORT_BINUNICODE
  ['X', (machine, reader) => machine.push(reader.text(reader.uint32()))], // BINUNICODE
  ['C', (machine, reader) => machine.push(reader.slice(reader.uint8()))], // SHORT_BINBYTES
  ['B', (machine, reader) => machine.push(reader.slice(reader.uint32()))], // BINBYTES

  [']', (machine) => machine.push([])],
  ['a', (machine) => machine.append(machine.take(1))],
  ['e', (machine) => machine.append(machine.takeToMark())], // APPENDS
  [')', (machine) => machine.push([])], // EMPTY_TUPLE
  ['t', (machine) => machine.push(machine.takeToMark())], // TUPLE
  ['\x85', (machine) => machine.push(machine.take(1))], // TUPLE1
  ['\x86', (machine) => machine.push(machine.take(2))], // TUPLE2
  ['\x87', (machine) => machine.push(machine.take(3))], // TUPLE3
  ['}', (machine) => machine.push(new Map())],
  ['s', (machine) => machine.setItems(machine.take(2))], // SETITEM
  ['u', (machine) => machine.setItems(machine.takeToMark())], // SETITEMS
  ['\x8f', (machine) => machine.push(new Opaque('builtins.set'))], // EMPTY_SET
  ['\x90', (machine) => void machine.takeToMark()], // ADDITEMS, to a set

  ['c', (machine, reader) => machine.push(lookUp(reader.line(), reader.line(), reader.fail))], // GLOBAL
  ['\x93', lookUpFromStack], // STACK_GLOBAL
  ['i', refuseInstance], // INST
  ['R', (machine) => machine.call()], // REDUCE
  ['\x81', (machine) => machine.call()], // NEWOBJ
  ['b', (machine) => machine.build()],
  ['Q', (machine) => machine.push(machine.persistent(machine.pop()))], // BINPERSID
]);

const operations = Array.from({ length: 256 }, (_, code) => byCharacter.get(String.fromCharCode(code)));

function checkProtocol(machine: PickleMachine, reader: ByteReader): void {
  const protocol = reader.uint8();
  if (protocol > 5) throw machine.malformed(`it is of protocol ${protocol}, and the latest known is 5`);
}

function lookUpFromStack(machine: PickleMachine): void {
  const [module, name] = machine.take(2);
  if (typeof module !== 'string' || typeof name !== 'string') throw machine.malformed('a name is not a text');
  machine.push(lookUp(module, name, machine.fail));
}

/** An old way to look up a class and call it at once, which nothing on the allow-list needs. */
function refuseInstance(_: PickleMachine, reader: ByteReader): never {
  throw refusal(reader.line(), reader.line(), reader.fail);
}

/** One pickle out of a file. */
export interface Pickle {
  readonly value: Value;
  /** Offset of the first byte after it. */
  readonly end: number;
}

/** What a pickle needs from the file around it. */
export interface PickleContext {
  readonly fail: Fail;
  /** The object outside the pickle that an identifier stands for: a storage. */
  readonly persistent: (id: Value) => Value;
}

/**
 * The object that the pickle at `start` describes.
 *
 * @throws ShiboriError for one that is cut short, malformed, or asks for anything beyond the allow-list.
 */
export function unpickle(bytes: Uint8Array, start: number, context: PickleContext): Pickle {
  const reader = new ByteReader(bytes, start, context.fail);
  const machine = new PickleMachine(reader, context.persistent);
  for (;;) {
    machine.spend(1);
    const code = reader.uint8();
    if (code === STOP) return { value: machine.pop(), end: reader.position };
    const operation = operations[code];
    if (!operation) throw machine.malformed(`the operation 0x${code.toString(16)} is none that PyTorch writes`);
    operation(machine, reader);
  }
}
