/**
 * Reads and writes ONNX, PyTorch, safetensors and NumPy files, from and to bytes.
 *
 * @packageDocumentation
 */

export { readNpy, writeNpy } from './npy.js';
export type { ExternalReader } from './onnx/external.js';
export { type OnnxModel, type ReadOnnxOptions, readOnnx } from './onnx/read.js';
export { writeOnnx } from './onnx/write.js';
export { readSafetensors, type SafetensorsFile } from './safetensors/read.js';
export { writeSafetensors } from './safetensors/write.js';
export { type ReadTorchOptions, readTorch, type TorchFile, type TorchSource } from './torch/read.js';
export { writeTorch } from './torch/write.js';
export type { WeightSet } from './weight-sets.js';
