import { ShiboriError } from '../../errors.js';
import { type Model, type ModelDescription, OPSET } from '../../graph/model.js';
import type { ExternalReader } from './external.js';
import { decodeMessage } from './message.js';
import { type ModelProto, modelFields } from './proto.js';
import { decodeGraph, normalizeDomain, OWN_DOMAIN } from './read-graph.js';
import { Scope } from './scope.js';
import { WireReader } from './wire-reader.js';

/** Lists how an ONNX file is read. */
export interface ReadOnnxOptions {
  /** Reads the files next to the model that hold tensors. Default: such a model is refused. */
  readonly external?: ExternalReader;
}

/** A model and who wrote its file. */
export interface OnnxModel extends Model {
  /** Name and version of the tool that wrote the file (`pytorch 1.13.1`), or an empty string. */
  readonly producer: string;
  readonly about: ModelDescription;
}

/**
 * Reads an ONNX file. Tensors are views into `bytes` where these are aligned. Initializers that are listed as inputs
 * too (as files before IR version 4 do) are initializers only; nodes are sorted topologically where the file does not.
 * Documentation texts of nodes, values and tensors, quantization annotations, training information and functions that no node calls are dropped.
 *
 * @param file names the file in errors.
 * @throws ShiboriError when the file is damaged or holds what a graph here cannot express: element types such as
 *   strings, sequences and optionals, sparse tensors, calls of the file's own functions.
 */
export function readOnnx(bytes: Uint8Array, file: string, options: ReadOnnxOptions = {}): OnnxModel {
  const proto = decodeMessage(modelFields, new WireReader(bytes, file));
  const fail = (problem: string) => new ShiboriError(`Cannot read ${file}: ${problem}`, { code: 'invalid-file' });
  if (!proto.irVersion || !proto.graph) {
    const missing = proto.irVersion ? 'graph' : 'IR version';
    throw fail(`it holds no ${missing}. It is not an ONNX model, or it was cut short.`);
  }
  const versions = readOperatorSets(proto, fail);
  const functions = new Set((proto.functions ?? []).map(({ domain, name }) => `${normalizeDomain(domain)}:${name}`));
  const graph = decodeGraph(proto.graph, new Scope(), { file, external: options.external, fail, versions, functions });
  const { '': opset, ...domains } = Object.fromEntries(versions);
  return {
    graph,
    // A file whose nodes are all of other domains may import none: then nothing depends on it.
    opset: opset ?? OPSET,
    domains,
    metadata: Object.fromEntries((proto.metadataProps ?? []).map(({ key, value }) => [key ?? '', value ?? ''])),
    about: describeModel(proto),
    producer: [proto.producerName, proto.producerVersion].filter(Boolean).join(' '),
  };
}

const docTextDecoder = new TextDecoder();

/** What the file says about its model; fields that it leaves out, or leaves empty, are left out. */
function describeModel({
  producerName,
  producerVersion,
  domain,
  modelVersion,
  docString,
  graph,
}: ModelProto): ModelDescription {
  const decoded = (bytes: Uint8Array | undefined) => bytes && docTextDecoder.decode(bytes);
  const [modelDoc, graphDoc] = [decoded(docString), decoded(graph?.docString)];
  return {
    ...(producerName ? { producerName } : {}),
    ...(producerVersion ? { producerVersion } : {}),
    ...(domain ? { domain } : {}),
    ...(modelVersion ? { modelVersion } : {}),
    ...(modelDoc ? { docString: modelDoc } : {}),
    ...(graphDoc ? { graphDocString: graphDoc } : {}),
  };
}

/** The version of each operator set that the file imports, by domain. */
function readOperatorSets(proto: ModelProto, fail: (problem: string) => ShiboriError): Map<string, number> {
  const versions = new Map<string, number>();
  for (const imported of proto.opsetImport ?? []) {
    const domain = normalizeDomain(imported.domain);
    const version = imported.version ?? 0;
    const known = versions.get(domain) ?? version;
    if (version < 1 || !Number.isSafeInteger(version) || version !== known) {
      const claims = version === known ? `version ${version}` : `the versions ${known} and ${version}`;
      throw fail(`it imports ${claims} of the operator set "${domain || OWN_DOMAIN}". Export it again with one.`);
    }
    versions.set(domain, version);
  }
  // Operator sets came with IR version 3; before, there was only the first one.
  if ((proto.irVersion ?? 0) < 3 && versions.size === 0) versions.set('', 1);
  return versions;
}
