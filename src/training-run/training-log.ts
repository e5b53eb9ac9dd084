import { appendFile, readFile } from 'node:fs/promises';
import { dirname } from 'node:path';
import { z } from 'zod';
import { formatWaitField, type RunContext } from '../context/run-context.js';
import { ShiboriError } from '../errors.js';
import { makeFolder, writeFileAtomic } from '../io/atomic-file.js';
import { describeWriteError } from '../io/disk-error.js';
import { createEventFile, type EventFile } from '../io/tensorboard.js';
import type { FitProgress } from '../train/fit.js';

/** What a training measures, as JSON lines and as TensorBoard events. */
export interface MetricsLog {
  /** Puts scalars of a step in line to be written. */
  add(step: number, scalars: Readonly<Record<string, number>>): void;
  /** Waits for what is in line. Throws ShiboriError when it could not be written. */
  flush(): Promise<void>;
  /** Writes what is in line, if it can be, and closes. */
  close(): Promise<void>;
}

const lineSchema = z.object({ step: z.number() });

/** Lines of a metrics file up to a step: the rest was not reached by the checkpoint and comes again. */
async function readKeptLines(file: string, lastStep: number): Promise<string> {
  const text = await readFile(file, 'utf8').catch(() => '');
  const kept = text.split('\n').filter((line) => {
    try {
      return line !== '' && lineSchema.parse(JSON.parse(line)).step <= lastStep;
    } catch {
      // Cut short when the process was killed.
      return false;
    }
  });
  return kept.map((line) => `${line}\n`).join('');
}

/**
 * Opens a log when its first line comes: a training that is refused leaves the files of the one before untouched.
 *
 * @param file `metrics.jsonl`; the event files go into its folder.
 * @param resumedAt the step that the training is resumed from, 0 for a new one.
 */
export function openMetricsLog(file: string, resumedAt: () => number): MetricsLog {
  const folder = dirname(file);
  let events: EventFile | undefined;
  let inLine: Promise<void> = Promise.resolve();

  async function open(): Promise<EventFile> {
    await makeFolder(folder);
    const lastStep = resumedAt();
    await writeFileAtomic(file, lastStep === 0 ? '' : await readKeptLines(file, lastStep));
    return createEventFile(folder, { purgeFrom: lastStep + 1 });
  }

  async function write(step: number, scalars: Readonly<Record<string, number>>): Promise<void> {
    events ??= await open();
    try {
      await appendFile(file, `${JSON.stringify({ step, ...scalars })}\n`);
    } catch (error) {
      const reason = await describeWriteError(error, folder, 'more bytes');
      throw new ShiboriError(`Writing metrics to ${file}: ${reason}.`, { code: 'training-failed', cause: error });
    }
    await events.addScalars(step, scalars);
  }

  return {
    add(step, scalars) {
      inLine = inLine.then(() => write(step, scalars));
      // Reported by the next `flush`.
      inLine.catch(() => {});
    },
    flush: () => inLine,
    async close() {
      await inLine.catch(() => {});
      await events?.close();
    },
  };
}

/** Name of the validation before the first step. */
export const BEFORE_TRAINING_PHASE = 'epoch 0';

/** Speeds of less time than this say little. */
const SHORTEST_SECONDS = 0.5;

/**
 * Passes the progress of a training on, with images a second, a stage for each epoch and view.
 *
 * @param prefix what comes before the names of the stages: `stage 1/2, `.
 */
export function createProgressReporter(
  epochs: number,
  views: number,
  onProgress: RunContext['onProgress'],
  prefix = '',
): (progress: FitProgress) => void {
  let phase = '';
  let last = 0;
  // Images that were done when a phase began, as after a resumption, say nothing of its speed.
  let from = { images: 0, time: 0 };
  const findPhase = (p: FitProgress) => {
    if (p.phase === 'features') return views > 1 ? `frozen prefix, view ${(p.epoch % views) + 1}` : 'frozen prefix';
    if (p.phase === 'validate') return p.epoch < 0 ? BEFORE_TRAINING_PHASE : 'validate';
    return `epoch ${p.epoch + 1}/${epochs}`;
  };
  return (p) => {
    const now = `${prefix}${findPhase(p)}`;
    if (now !== phase || p.done < last) from = { images: p.done, time: performance.now() };
    phase = now;
    last = p.done;
    const seconds = (performance.now() - from.time) / 1000;
    onProgress?.({
      phase,
      done: p.done,
      total: p.total,
      fields: {
        ...(p.loss === undefined ? {} : { loss: p.loss.toFixed(4) }),
        ...(p.top1 === undefined ? {} : { top1: `${p.top1.toFixed(2)} %` }),
        ...(p.learningRate === undefined ? {} : { lr: p.learningRate.toPrecision(3) }),
        ...(seconds < SHORTEST_SECONDS ? {} : { 'images/s': Math.round((p.done - from.images) / seconds) }),
        ...(p.waitingShare === undefined ? {} : formatWaitField(p.waitingShare)),
      },
    });
  };
}
