import type { InferenceSession } from 'onnxruntime-common';
import type { Engine } from './engine.js';
import { createRuntimeEngine, type OnnxRuntime } from './onnx-runtime.js';

/** Lists how ONNX Runtime executes graphs in a browser. */
export interface WebEngineOptions {
  /** Execution providers in the order of preference. Default: `['wasm']`. */
  readonly providers?: readonly ('wasm' | 'webgpu')[];
}

/**
 * Runs graphs with ONNX Runtime in a browser.
 *
 * @param runtime the module `onnxruntime-web`, which a page loads itself: `import * as ort from 'onnxruntime-web'`.
 * @example
 * ```ts
 * import * as ort from 'onnxruntime-web';
 * const engine = webEngine(ort);
 * ```
 */
export function webEngine(runtime: OnnxRuntime, options: WebEngineOptions = {}): Engine {
  const settings: InferenceSession.SessionOptions = {
    executionProviders: [...(options.providers ?? ['wasm'])],
    graphOptimizationLevel: 'all',
    // Failures are thrown; the runtime need not write them to the console as well.
    logSeverityLevel: 4,
  };
  return createRuntimeEngine('onnxruntime-web', runtime, settings);
}
