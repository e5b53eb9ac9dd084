import pc from 'picocolors';

/** Values shown beside a bar. Numbers are rounded to four digits. */
export type ProgressFields = Readonly<Record<string, string | number>>;

/** What progress is written to: a terminal or any other stream. */
export interface ProgressStream {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  /** Width of the terminal in characters. Default: 80. */
  readonly columns?: number;
}

/** How far a job has come, while it is being shown. */
export interface Progress {
  /** Tells that `done` of the total is done. Cheap: called for every batch, it writes only now and then. */
  update(done: number, fields?: ProgressFields): void;
  /** Writes the last state, however it came to its end, and the time it took. */
  done(): void;
}

/** Options of {@link createProgress}. */
export interface ProgressOptions {
  /** Where to; `undefined` writes nothing (for `--json` and `--quiet`). */
  readonly stream: ProgressStream | undefined;
  /** What is being done: `evaluate`. */
  readonly label: string;
  /** Steps in all; 0 when unknown. */
  readonly total: number;
  /** The clock, in milliseconds. Default: `performance.now`. */
  readonly now?: () => number;
  /** Default: colours on terminals that take them. */
  readonly colors?: boolean;
}

const TERMINAL_INTERVAL_MS = 100;
const PLAIN_INTERVAL_MS = 10_000;
const BAR_LENGTH = 24;
/** The last eighths of a bar, so that it moves smoothly. */
const EIGHTHS = ['', '▏', '▎', '▍', '▌', '▋', '▊', '▉'];

/** `7 s`, `3 min 20 s`, `2 h 05 min`. */
export function formatDuration(milliseconds: number): string {
  const seconds = Math.max(Math.round(milliseconds / 1000), 0);
  const padded = (value: number) => String(value).padStart(2, '0');
  if (seconds < 60) return `${seconds} s`;
  if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${padded(seconds % 60)} s`;
  return `${Math.floor(seconds / 3600)} h ${padded(Math.floor((seconds % 3600) / 60))} min`;
}

function formatField([name, value]: [string, string | number]): string {
  // Four significant digits, but no exponent and no cut of whole numbers: `loss 0.6931`, `images/s 1204`.
  const text =
    typeof value === 'string' ? value : Math.abs(value) >= 1000 ? value.toFixed(0) : `${Number(value.toPrecision(4))}`;
  return `${name} ${text}`;
}

function bar(share: number): string {
  const eighths = Math.round(Math.min(Math.max(share, 0), 1) * BAR_LENGTH * 8);
  return `${'█'.repeat(Math.floor(eighths / 8))}${EIGHTHS[eighths % 8]}`.padEnd(BAR_LENGTH, '·');
}

/** The line without what does not fit a terminal: a line that wraps cannot be written over. */
function fit(text: string, columns: number): string {
  return text.length < columns ? text : `${text.slice(0, columns - 2)}…`;
}

/**
 * Shows how far a job has come: on a terminal one line with a bar and the time left, rewritten at most ten times a
 * second; elsewhere plain lines, at most one in ten seconds, and one at the end.
 */
export function createProgress(options: ProgressOptions): Progress {
  const { stream, label, total } = options;
  const now = options.now ?? (() => performance.now());
  if (!stream) return { update: () => undefined, done: () => undefined };
  const onTerminal = stream.isTTY === true;
  const colors = pc.createColors(options.colors ?? (onTerminal && pc.isColorSupported));
  const start = now();
  const interval = onTerminal ? TERMINAL_INTERVAL_MS : PLAIN_INTERVAL_MS;
  // On a terminal the first line comes at once; elsewhere a job of less than ten seconds writes only its last.
  let lastWrite = onTerminal ? Number.NEGATIVE_INFINITY : start;
  let count = 0;
  let first: { readonly count: number; readonly time: number } | undefined;
  let fields: ProgressFields = {};
  let ended = false;

  /** From the first update on, so that neither a slow start nor what an earlier run had done counts as speed. */
  const timeLeft = (): number | undefined => {
    if (total <= 0 || count <= 0) return undefined;
    const since = first && count > first.count ? first : { count: 0, time: start };
    return ((now() - since.time) / (count - since.count)) * (total - count);
  };

  const write = (final: boolean) => {
    const elapsed = now() - start;
    lastWrite = now();
    const known = total > 0;
    const counter = known ? `${count}/${total}` : `${count}`;
    const left = timeLeft();
    const time = final ? formatDuration(elapsed) : left === undefined ? '' : `${formatDuration(left)} left`;
    const rest = [counter, ...Object.entries(fields).map(formatField), time].filter(Boolean).join(' · ');
    if (!onTerminal) {
      stream.write(`${label}: ${rest}\n`);
      return;
    }
    const shown = known ? ` ${bar(count / total)} ` : ' ';
    const room = (stream.columns || 80) - label.length - shown.length;
    // \x1b[K clears what a longer line before has left.
    stream.write(`\r${colors.bold(label)}${colors.cyan(shown)}${fit(rest, room)}\x1b[K${final ? '\n' : ''}`);
  };

  return {
    update(done, more = {}) {
      if (ended) return;
      count = done;
      first ??= { count, time: now() };
      fields = more;
      if (now() - lastWrite >= interval) write(false);
    },
    done() {
      if (ended) return;
      ended = true;
      write(true);
    },
  };
}
