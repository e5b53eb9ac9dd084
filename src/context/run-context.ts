import type { Engine } from '../engine/engine.js';
import { nodeEngine } from '../engine/node.js';
import type { PhasePlan } from './phase-clock.js';

/** How far a long job has come. */
export interface ProgressEvent {
  /** What is being done: `evaluate`, `finetune`, … */
  readonly phase: string;
  readonly done: number;
  readonly total: number;
  /** What to show next to the bar: loss, accuracy, … */
  readonly fields?: Readonly<Record<string, string | number>>;
}

/** Lists what every workflow takes in addition to its own options. */
export interface RunContext {
  /** Default: ONNX Runtime on the CPU. */
  readonly engine?: Engine;
  /** Threads of the default engine. Default: all cores. */
  readonly threads?: number;
  /**
   * Threads that read and decode images while the engine computes; 0: none, the main thread does it. Default: 1 on up to
   * two cores, then one less than cores, at most 4; 0 for a handful of images.
   */
  readonly workers?: number;
  /** Called with the progress of a long job. Default: not called. */
  readonly onProgress?: (event: ProgressEvent) => void;
  /** Called when the phases of a long job are known, and again when they change. Default: not called. */
  readonly onPhases?: (plan: PhasePlan) => void;
  /** Something is not as it should be, but work continues (a corrupt image that is skipped). */
  readonly onWarning?: (text: string) => void;
  /** Something was changed or assumed that a person may want to know (a graph that was transposed). */
  readonly onNote?: (text: string) => void;
  /** The command line that the workflow was called by, as reports show it. Default: none, it was called as a function. */
  readonly command?: string;
  /** Stops long jobs; those that can be resumed save their state first. */
  readonly signal?: AbortSignal;
}

/** Lists what every workflow takes besides its own options: engine, threads, callbacks, signal. */
export type RunOptions = RunContext;

/** The engine of a context. */
export function getEngine(context: RunContext): Engine {
  return context.engine ?? nodeEngine(context.threads === undefined ? {} : { threads: context.threads });
}

/** A context that also keeps the warnings that are given through it, so that a report can show them. */
export function collectWarnings(context: RunContext): {
  readonly context: RunContext;
  readonly warnings: readonly string[];
} {
  const warnings: string[] = [];
  const onWarning = (text: string) => {
    warnings.push(text);
    context.onWarning?.(text);
  };
  return { context: { ...context, onWarning }, warnings };
}

/** Tells what was changed or assumed when a model was opened. */
export function reportNotes({ notes }: { readonly notes: readonly string[] }, context: RunContext): void {
  for (const note of notes) context.onNote?.(note);
}

/** The progress field for the share of the time (0…1) in which the engine waited for images. */
export function formatWaitField(share: number): Record<string, string> {
  return { 'data wait': `${Math.round(100 * share)} %` };
}
