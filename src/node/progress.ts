import pc from 'picocolors';

/** Where progress is shown: standard error, usually. */
export interface ProgressStream {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

/** Shows how far a job has come. */
export interface Progress {
  /** `done` of the total, and what to show beside it (`loss`, `top1`, …). */
  update(done: number, fields?: Readonly<Record<string, string | number>>): void;
  /** Ends the display; the last state stays. */
  done(): void;
}

/** Redraws of a bar are at least so many milliseconds apart, lines of a log so many. */
const REDRAW_MS = 80;
const LINE_MS = 10_000;
const BAR_WIDTH = 24;

/** `1:05`, `2:03:04`. */
export function formatDuration(seconds: number): string {
  const whole = Math.max(0, Math.round(seconds));
  const [hours, minutes, rest] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const two = (value: number) => String(value).padStart(2, '0');
  return hours > 0 ? `${hours}:${two(minutes)}:${two(rest)}` : `${minutes}:${two(rest)}`;
}

/**
 * A progress bar with the time left on a terminal; elsewhere a plain line now and then, and one at the end.
 *
 * @param options.now the clock in milliseconds. Default: `performance.now`.
 */
export function createProgress(options: {
  readonly stream: ProgressStream;
  readonly label: string;
  readonly total: number;
  readonly now?: () => number;
}): Progress {
  const { stream, label, total } = options;
  const now = options.now ?? (() => performance.now());
  const start = now();
  let shownAt = Number.NEGATIVE_INFINITY;
  let first = 0;
  let latest = 0;
  let text = '';
  const describe = (done: number, fields: Readonly<Record<string, string | number>>): string => {
    const elapsed = (now() - start) / 1000;
    // What was there already when the job began (a resumed one) says nothing of its speed.
    const left = done > first ? (elapsed * (total - done)) / (done - first) : undefined;
    const parts = Object.entries(fields).map(([name, value]) => `${name} ${value}`);
    const time = done >= total ? formatDuration(elapsed) : left === undefined ? '' : `${formatDuration(left)} left`;
    return [`${done}/${total}`, ...parts, time].filter(Boolean).join('  ');
  };
  const draw = (done: number, fields: Readonly<Record<string, string | number>>) => {
    const filled = Math.min(BAR_WIDTH, Math.round((BAR_WIDTH * done) / Math.max(1, total)));
    const bar = pc.cyan('━'.repeat(filled)) + pc.dim('━'.repeat(BAR_WIDTH - filled));
    const tail = describe(done, fields).slice(0, Math.max(0, (stream.columns ?? 80) - BAR_WIDTH - label.length - 4));
    text = `\r\u001b[K${label} ${bar} ${tail}`;
    stream.write(text);
  };
  let fieldsNow: Readonly<Record<string, string | number>> = {};
  return {
    update(done, fields = {}) {
      if (latest === 0) first = done >= total ? 0 : done;
      latest = done;
      fieldsNow = fields;
      const time = now();
      if (stream.isTTY) {
        if (time - shownAt < REDRAW_MS && done < total) return;
        shownAt = time;
        draw(done, fields);
      } else if (time - Math.max(shownAt, start) >= LINE_MS && done < total) {
        shownAt = time;
        stream.write(`${label}: ${describe(done, fields)}\n`);
      }
    },
    done() {
      if (stream.isTTY) {
        draw(latest, fieldsNow);
        stream.write('\n');
      } else if (latest > 0) stream.write(`${label}: ${describe(latest, fieldsNow)}\n`);
    },
  };
}
