/*
 * Python's pickle language (protocols 0 to 5) as far as files of torch.save are written in it. Tensors and dictionaries
 * are built from an allow-list, everything else becomes an opaque object; nothing is executed, no recursion follows the
 * input, and the work is bounded.
 * Source: the opcode table of CPython's pickletools, whose names stand in comments.
 */
import { lookUp } from './allowed-calls.js';
import { ByteReader } from './byte-reader.js';
import { PickleMachine } from './pickle-machine.js';
import { parsePickleFloat, parsePickleInteger, parseQuotedText, parseUnicodeText } from './pickle-text.js';
import { type Fail, type PickleValue, UnknownName } from './pickle-values.js';

const STOP = 0x2e;

type Operation = (machine: PickleMachine, reader: ByteReader) => void;

const byCharacter: ReadonlyMap<string, Operation> = new Map<string, Operation>([
  ['\x80', checkProtocol], // PROTO
  ['\x95', (_, reader) => void reader.int64()], // FRAME, a hint for streams

  ['(', (machine) => machine.mark()],
  ['0', (machine) => void machine.pop()],
  ['1', (machine) => void machine.takeToMark()], // POP_MARK
  ['2', (machine) => machine.push(machine.top())], // DUP

  ['p', (machine, reader) => machine.memoize(readMemoIndex(machine, reader))], // PUT
  ['q', (machine, reader) => machine.memoize(reader.uint8())], // BINPUT
  ['r', (machine, reader) => machine.memoize(reader.uint32())], // LONG_BINPUT
  ['\x94', (machine) => machine.memoize(machine.memoSize)], // MEMOIZE
  ['g', (machine, reader) => machine.recall(readMemoIndex(machine, reader))], // GET
  ['h', (machine, reader) => machine.recall(reader.uint8())], // BINGET
  ['j', (machine, reader) => machine.recall(reader.uint32())], // LONG_BINGET

  ['N', (machine) => machine.push(null)],
  ['\x88', (machine) => machine.push(true)],
  ['\x89', (machine) => machine.push(false)],
  ['I', (machine, reader) => machine.push(parsePickleInteger(reader.line(), machine))], // INT, and booleans as 00 and 01
  ['L', (machine, reader) => machine.push(parsePickleInteger(reader.line(), machine))], // LONG
  ['K', (machine, reader) => machine.push(reader.uint8())], // BININT1
  ['M', (machine, reader) => machine.push(reader.uint16())], // BININT2
  ['J', (machine, reader) => machine.push(reader.int32())], // BININT
  ['\x8a', (machine, reader) => machine.push(reader.integer(reader.uint8()))], // LONG1
  ['F', (machine, reader) => machine.push(parsePickleFloat(reader.line(), machine))], // FLOAT
  ['G', (machine, reader) => machine.push(reader.float64())], // BINFLOAT
  ['S', (machine, reader) => machine.push(parseQuotedText(reader.line(), machine))], // STRING
  ['V', (machine, reader) => machine.push(parseUnicodeText(reader.latin1Line(), machine))], // UNICODE
  ['U', (machine, reader) => machine.push(reader.textOrBytes(reader.uint8()))], // SHORT_BINSTRING, of Python 2
  ['T', (machine, reader) => machine.push(reader.textOrBytes(reader.uint32()))], // BINSTRING, of Python 2
  ['\x8c', (machine, reader) => machine.push(reader.text(reader.uint8()))], // SHORT_BINUNICODE
  ['X', (machine, reader) => machine.push(reader.text(reader.uint32()))], // BINUNICODE
  ['\x8d', (machine, reader) => machine.push(reader.text(reader.length()))], // BINUNICODE8
  ['C', (machine, reader) => machine.push(reader.slice(reader.uint8()))], // SHORT_BINBYTES
  ['B', (machine, reader) => machine.push(reader.slice(reader.uint32()))], // BINBYTES
  ['\x8e', (machine, reader) => machine.push(reader.slice(reader.length()))], // BINBYTES8
  ['\x96', (machine, reader) => machine.push(reader.slice(reader.length()))], // BYTEARRAY8

  [']', (machine) => machine.push([])],
  ['l', (machine) => machine.push(machine.takeToMark())], // LIST
  ['a', (machine) => machine.append(machine.take(1))],
  ['e', (machine) => machine.append(machine.takeToMark())], // APPENDS
  [')', (machine) => machine.push([])], // EMPTY_TUPLE
  ['t', (machine) => machine.push(machine.takeToMark())], // TUPLE
  ['\x85', (machine) => machine.push(machine.take(1))], // TUPLE1
  ['\x86', (machine) => machine.push(machine.take(2))], // TUPLE2
  ['\x87', (machine) => machine.push(machine.take(3))], // TUPLE3
  ['}', (machine) => machine.push(new Map())],
  ['d', (machine) => machine.pushDictionary()], // DICT
  ['s', (machine) => machine.setItems(machine.take(2))], // SETITEM
  ['u', (machine) => machine.setItems(machine.takeToMark())], // SETITEMS
  ['\x8f', (machine) => machine.push([])], // EMPTY_SET
  ['\x90', (machine) => machine.append(machine.takeToMark())], // ADDITEMS, to a set
  ['\x91', (machine) => machine.push(machine.takeToMark())], // FROZENSET

  ['c', (machine, reader) => machine.push(lookUp(reader.line(), reader.line()))], // GLOBAL
  ['\x93', lookUpFromStack], // STACK_GLOBAL
  ['\x82', (machine, reader) => machine.push(makeExtensionName(reader.uint8()))], // EXT1
  ['\x83', (machine, reader) => machine.push(makeExtensionName(reader.uint16()))], // EXT2
  ['\x84', (machine, reader) => machine.push(makeExtensionName(reader.int32()))], // EXT4
  ['i', (machine, reader) => instantiate(machine, lookUp(reader.line(), reader.line()), machine.takeToMark())], // INST
  ['o', instantiateFromStack], // OBJ
  ['R', (machine) => machine.call()], // REDUCE
  ['\x81', (machine) => machine.call()], // NEWOBJ
  ['\x92', callWithNames], // NEWOBJ_EX
  ['b', (machine) => machine.build()],
  ['Q', (machine) => machine.push(machine.persistent(machine.pop()))], // BINPERSID
  ['P', (machine, reader) => machine.push(machine.persistent(reader.line()))], // PERSID
]);

const operations = Array.from({ length: 256 }, (_, code) => byCharacter.get(String.fromCharCode(code)));

function checkProtocol(machine: PickleMachine, reader: ByteReader): void {
  const protocol = reader.uint8();
  if (protocol > 5) throw machine.malformed(`it is of protocol ${protocol}, and the latest known is 5`);
}

function readMemoIndex(machine: PickleMachine, reader: ByteReader): number {
  const index = Number(reader.line());
  if (Number.isSafeInteger(index) && index >= 0) return index;
  throw machine.malformed('the number of an object is no number');
}

function lookUpFromStack(machine: PickleMachine): void {
  const [module, name] = machine.take(2);
  if (typeof module !== 'string' || typeof name !== 'string') throw machine.malformed('a name is not a text');
  machine.push(lookUp(module, name));
}

/** A name out of the registry of a running Python. */
function makeExtensionName(code: number): UnknownName {
  return new UnknownName(`copyreg extension ${code}`);
}

function instantiate(machine: PickleMachine, type: PickleValue, args: readonly PickleValue[]): void {
  machine.push(machine.makeCallResult(type, args));
}

function instantiateFromStack(machine: PickleMachine): void {
  const [type = null, ...args] = machine.takeToMark();
  instantiate(machine, type, args);
}

/** Arguments by name are of no use for tensors, and what is not a tensor is not built. */
function callWithNames(machine: PickleMachine): void {
  machine.pop();
  machine.call();
}

/** One pickle out of a file. */
export interface Pickle {
  readonly value: PickleValue;
  /** Offset of the first byte after it. */
  readonly end: number;
  /** Names that it calls and that nothing here stands for. None was called. */
  readonly called: ReadonlySet<string>;
}

/** What a pickle needs from the file around it. */
export interface PickleContext {
  readonly fail: Fail;
  /** The object outside the pickle that an identifier stands for: a storage. */
  readonly persistent: (id: PickleValue) => PickleValue;
}

/**
 * The object that the pickle at `start` describes.
 *
 * @throws ShiboriError for one that is cut short or malformed.
 */
export function unpickle(bytes: Uint8Array, start: number, context: PickleContext): Pickle {
  const reader = new ByteReader(bytes, start, context.fail);
  const machine = new PickleMachine(reader, context.persistent);
  for (;;) {
    machine.countOperations(1);
    const code = reader.uint8();
    if (code === STOP) return { value: machine.pop(), end: reader.position, called: machine.called };
    const operation = operations[code];
    if (!operation) throw machine.malformed(`the operation 0x${code.toString(16)} is none that PyTorch writes`);
    operation(machine, reader);
  }
}
