import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ShiboriError } from '../../src/errors.js';
import { encodeMessage } from '../../src/formats/onnx/message.js';
import { type GraphProto, type ModelProto, modelFields } from '../../src/formats/onnx/proto.js';
import { readOnnx } from '../../src/formats/onnx/read.js';
import { concatenate } from '../../src/formats/onnx/wire-writer.js';
import { writeOnnx } from '../../src/formats/onnx/write.js';
import { identityGraph, nestedModel, rawFile, smallModel } from './onnx-models.js';

const files = [writeOnnx(smallModel()), writeOnnx(nestedModel())];

/** Reads, and lets nothing but a ShiboriError that names the file pass. Returns the message, or `undefined`. */
function refusal(bytes: Uint8Array): string | undefined {
  try {
    readOnnx(bytes, 'hostile.onnx');
    return undefined;
  } catch (error) {
    if (!(error instanceof ShiboriError)) throw error;
    expect(error.message).toContain('hostile.onnx');
    return error.message;
  }
}

/** A file with this graph, read. */
const refusalOf = (graph: GraphProto, rest: ModelProto = {}) => refusal(rawFile(graph, rest));
const initializer = (fields: object) => identityGraph({ initializer: [{ name: 'w', ...fields }] });

describe('A damaged ONNX file', () => {
  it('cut anywhere is read or refused, never anything else', () => {
    for (const file of files) {
      let refused = 0;
      for (let length = 0; length < file.length; length++) if (refusal(file.slice(0, length))) refused++;
      // Only a cut between the fields after the graph can leave a whole model.
      expect(refused).toBeGreaterThan(file.length - 4);
    }
  });

  it('with any bytes changed is read or refused, never anything else', () => {
    const change = fc.tuple(fc.nat(), fc.nat(255));
    fc.assert(
      fc.property(fc.constantFrom(...files), fc.array(change, { minLength: 1, maxLength: 8 }), (file, changes) => {
        const bytes = file.slice();
        for (const [at, byte] of changes) bytes[at % bytes.length] = byte;
        refusal(bytes);
      }),
      { numRuns: 3000 },
    );
  });

  it('with every single byte at its extremes is read or refused, never anything else', () => {
    for (const file of files) {
      for (let at = 0; at < file.length; at++) {
        for (const byte of [0x00, 0x7f, 0x80, 0xff]) {
          const bytes = file.slice();
          bytes[at] = byte;
          refusal(bytes);
        }
      }
    }
  });

  it('of arbitrary bytes is refused', () => {
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
        expect(refusal(bytes)).toBeDefined();
      }),
      { numRuns: 2000 },
    );
  });
});

describe('A hostile ONNX file', () => {
  it('that claims 2^63 bytes is refused before anything is allocated', () => {
    const claim = [0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x01];
    expect(refusal(Uint8Array.of(0x08, 8, 0x3a, ...claim, 1, 2, 3))).toMatch(
      /at byte 13, a field claims 9223372036854775808 bytes, but 3 are left/,
    );
    expect(refusal(Uint8Array.of(0x08, 8, 0x3a, 0xff, 0xff, 0xff, 0xff, 0x07, 1))).toMatch(/claims 2147483647 bytes/);
    expect(refusal(Uint8Array.of(0x08, ...Array(11).fill(0xff)))).toMatch(/more than 10 bytes/);
  });

  it('that claims more elements than it holds is refused, the initializer named', () => {
    const huge = [2 ** 31, 2 ** 31, 2 ** 31];
    expect(refusalOf(initializer({ dims: huge, dataType: 1, rawData: new Uint8Array(8) }))).toMatch(
      /initializer "w": a float32 tensor \[2147483648, 2147483648, 2147483648\] needs .* bytes, found 8/,
    );
    const many = Array(40).fill(2 ** 50);
    for (const field of ['rawData', 'floatData']) {
      const data = field === 'rawData' ? new Uint8Array(8) : [new Uint8Array(8)];
      expect(refusalOf(initializer({ dims: many, dataType: 1, [field]: data }))).toMatch(/needs Infinity bytes/);
    }
    for (const field of ['int64Data', 'int32Data']) {
      const dataType = field === 'int64Data' ? 7 : 6;
      expect(refusalOf(initializer({ dims: huge, dataType, [field]: [new Uint8Array(8)] }))).toMatch(/found 8/);
      expect(refusalOf(initializer({ dims: [3], dataType, [field]: [new Uint8Array(8)] }))).toMatch(
        /needs 3 .*found 8/,
      );
      expect(refusalOf(initializer({ dims: [3], dataType, [field]: [new Uint8Array(2)] }))).toMatch(
        /needs 3 .*found 2/,
      );
      expect(refusalOf(initializer({ dims: [1], dataType, [field]: [Uint8Array.of(0x80)] }))).toMatch(/cut short/);
    }
    expect(refusalOf(initializer({ dims: [3], dataType: 1 }))).toMatch(/needs 12 bytes, found 0/);
    expect(refusalOf(initializer({ dims: [-1], dataType: 1 }))).toMatch(/-1 is no dimension/);
    expect(refusalOf(initializer({ dims: [2 ** 63], dataType: 1 }))).toMatch(/is no dimension/);
  });

  it('with elements that their type cannot hold is refused', () => {
    const data = [Uint8Array.of(0xac, 0x02)];
    expect(refusalOf(initializer({ dims: [1], dataType: 2, int32Data: data }))).toMatch(/element 0 is 300/);
    expect(refusalOf(initializer({ dims: [1], dataType: 9, rawData: Uint8Array.of(2) }))).toMatch(/not all 0 or 1/);
    const twice = { rawData: new Uint8Array(4), floatData: [new Uint8Array(4)] };
    expect(refusalOf(initializer({ dims: [1], dataType: 1, ...twice }))).toMatch(/stored twice/);
  });

  it('with element types that tensors here cannot hold is refused, type and initializer named', () => {
    const names = [
      [8, 'STRING'],
      [14, 'COMPLEX64'],
      [17, 'FLOAT8E4M3FN'],
      [22, 'INT4'],
      [99, 'number 99'],
      [0, 'UNDEFINED'],
    ] as const;
    for (const [dataType, name] of names) {
      expect(refusalOf(initializer({ dims: [1], dataType }))).toContain(`initializer "w": elements of type ${name} `);
    }
    const type = { tensorType: { elemType: 8, shape: {} } };
    expect(refusalOf(identityGraph({ valueInfo: [{ name: 'v', type }] }))).toMatch(
      /value "v" has elements of type STRING/,
    );
    const sequence = { sequenceType: new Uint8Array(0) };
    expect(refusalOf(identityGraph({ input: [{ name: 'x', type: sequence }] }))).toMatch(
      /"x" is not a tensor but of the type sequence/,
    );
  });

  it('nested deeper than any real one is refused', () => {
    const nested = (depth: number): GraphProto => {
      if (depth === 0) return identityGraph();
      const attribute = [{ name: 'then_branch', type: 5, g: nested(depth - 1) }];
      return identityGraph({ node: [{ opType: 'If', output: ['y'], attribute }] });
    };
    expect(refusalOf(nested(20))).toBeUndefined();
    expect(refusalOf(nested(60))).toMatch(/nested more than 100 deep/);
  });

  it('whose names do not fit together is refused, names given', () => {
    const node = { opType: 'Identity', name: 'same', input: ['x'], output: ['y'] };
    const w = { name: 'w', dims: [], dataType: 1, rawData: new Uint8Array(4) };
    const graphs: [GraphProto, RegExp][] = [
      [identityGraph({ node: [node, node] }), /an output of node 1 "same" \(Identity\) is called "y", as is another/],
      [identityGraph({ initializer: [w, w] }), /initializer "w" .* appears twice/],
      [identityGraph({ initializer: [{ ...w, name: '' }] }), /an initializer .* has no name/],
      [identityGraph({ input: [{ name: 'x' }, { name: 'x' }] }), /an input is called "x", as is another/],
      [identityGraph({ node: [{ ...node, input: ['z'] }] }), /node 0 "same" \(Identity\) reads "z", which no node/],
      [identityGraph({ output: [{ name: 'z' }] }), /the list of outputs of "identity" reads "z"/],
      [identityGraph({ node: [{ ...node, input: ['y'] }] }), /has a cycle: node "same"/],
      [identityGraph({ node: [{ ...node, opType: '' }] }), /names no operator/],
      [
        identityGraph({ node: [{ ...node, domain: 'org.example' }] }),
        /operator set "org.example", of which the file imports/,
      ],
      [{ name: 'empty' }, /graph "empty" has no outputs/],
    ];
    for (const [graph, message] of graphs) expect(refusalOf(graph)).toMatch(message);
    const type = { tensorType: { elemType: 1, shape: { dim: [{ dimValue: -1 }] } } };
    expect(refusalOf(identityGraph({ input: [{ name: 'x', type }] }))).toMatch(/value "x" has the dimension -1/);
  });

  it('with parts that a graph here cannot express is refused, not read in half', () => {
    const node = { opType: 'Identity', input: ['x'], output: ['y'] };
    const attributes: [object, RegExp][] = [
      [{ name: 'a', refAttrName: 'b', type: 1 }, /attribute "a" of node 0 .* refers to an attribute of a function/],
      [{ name: 'a', type: 11 }, /its type 11 is not one of float, int/],
      [{ name: 'a' }, /its type 0 is not one of/],
      [{ name: 'a', type: 4 }, /it holds no tensor/],
      [{ name: 'a', type: 5 }, /it holds no graph/],
    ];
    for (const [attribute, message] of attributes) {
      expect(refusalOf(identityGraph({ node: [{ ...node, attribute: [attribute] }] }))).toMatch(message);
    }
    const double = { name: 'a', type: 2, i: 1 };
    expect(refusalOf(identityGraph({ node: [{ ...node, attribute: [double, double] }] }))).toMatch(/appears twice/);
    expect(refusalOf(identityGraph({ sparseInitializer: [new Uint8Array(0)] }))).toMatch(/sparse initializers/);
    const functions = [{ domain: 'org.example', name: 'Twice' }];
    const opsetImport = [{ version: 18 }, { domain: 'org.example', version: 1 }];
    const call = identityGraph({ node: [{ ...node, opType: 'Twice', domain: 'org.example' }] });
    expect(refusalOf(call, { functions, opsetImport })).toMatch(/calls a function of the file/);
    expect(refusalOf(identityGraph(), { functions, opsetImport })).toBeUndefined();
  });

  it('whose header is not an ONNX header is refused', () => {
    expect(refusal(new Uint8Array(0))).toMatch(/it holds no IR version. It is not an ONNX model/);
    expect(refusal(concatenate(encodeMessage(modelFields, { irVersion: 8 }).chunks()))).toMatch(/it holds no graph/);
    expect(refusal(new TextEncoder().encode('version https://git-lfs.github.com/spec/v1\n'))).toMatch(
      /not an ONNX file/,
    );
    const imports: [ModelProto['opsetImport'], RegExp][] = [
      [[], /operator set "ai.onnx", of which the file imports no version/],
      [[{ version: 0 }], /imports version 0/],
      [[{ version: -3 }], /imports version -3/],
      [[{ version: 13 }, { domain: 'ai.onnx', version: 14 }], /the versions 13 and 14 of the operator set "ai.onnx"/],
    ];
    for (const [opsetImport, message] of imports)
      expect(refusalOf(identityGraph(), { opsetImport: opsetImport ?? [] })).toMatch(message);
  });

  it('with names that mean something to JavaScript is plain data', () => {
    const attribute = ['__proto__', 'constructor'].map((name) => ({ name, type: 2, i: 1 }));
    const graph = identityGraph({ node: [{ opType: 'Identity', input: ['x'], output: ['y'], attribute }] });
    const metadataProps = [{ key: '__proto__', value: 'x' }];
    const model = readOnnx(rawFile(graph, { metadataProps }), 'names.onnx');
    expect(Object.entries(model.metadata)).toEqual([['__proto__', 'x']]);
    expect(Object.keys(model.graph.nodes[0]?.attributes ?? {})).toEqual(['__proto__', 'constructor']);
    expect(Object.getPrototypeOf(model.graph.nodes[0]?.attributes)).toBe(Object.prototype);
  });
});
