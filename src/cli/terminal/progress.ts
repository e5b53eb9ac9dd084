import pc from 'picocolors';
import { PhaseClock, type PhasePlan } from '../../context/phase-clock.js';
import { measureTextWidth, shorten } from './text-width.js';

/** Values shown after a bar. Numbers are rounded to four digits. */
export type ProgressFields = Readonly<Record<string, string | number>>;

/** What progress is written to: a terminal or any other stream. */
export interface ProgressStream {
  write(text: string): unknown;
  readonly isTTY?: boolean;
  /** Width of the terminal in characters, read at every write. Default: 80. */
  readonly columns?: number;
}

/** How far a phase has come. */
export interface PhaseProgress {
  readonly phase: string;
  readonly done: number;
  /** 0 when unknown. */
  readonly total: number;
  readonly fields?: ProgressFields;
}

/** The progress of a command while it is shown. */
export interface Progress {
  /** Sets the phases that are expected: with them the time left is that of the whole command. */
  plan(plan: PhasePlan): void;
  /** Shows how far a phase has come. Cheap: called for every batch, it writes only now and then. */
  update(event: PhaseProgress): void;
  /** Writes a line of text above the bar. */
  print(text: string): void;
  /** Redraws the bar after the width of the terminal has changed. */
  redraw(): void;
  /** Ends the line: `completed` with its total and the time it took, otherwise by clearing it. */
  end(how: 'completed' | 'cleared'): void;
}

/** Options of {@link createProgress}. */
export interface ProgressOptions {
  /** Where to; `undefined` writes nothing (for `--json` and `--quiet`). */
  readonly stream: ProgressStream | undefined;
  /** Name of the command: `compress`. */
  readonly name: string;
  /** The clock, in milliseconds. Default: `performance.now`. */
  readonly now?: () => number;
  /** Default: colours on terminals that take them. */
  readonly colors?: boolean;
}

const TERMINAL_INTERVAL_MS = 100;
const PLAIN_INTERVAL_MS = 10_000;
const BAR = { longest: 24, shortest: 6 } as const;
const DEFAULT_COLUMNS = 80;
/** A line that fills a terminal wraps in some; and the `^C` that a terminal echoes must not wrap either. */
const FREE_COLUMNS = 3;
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

function drawBar(share: number, length: number): string {
  const eighths = Math.round(Math.min(Math.max(share, 0), 1) * length * 8);
  return `${'█'.repeat(Math.floor(eighths / 8))}${EIGHTHS[eighths % 8]}`.padEnd(length, '·');
}

/** The parts of a line. */
interface Line {
  readonly head: string;
  /** Share that is done (0…1), where it is known. */
  readonly share?: number;
  readonly counter: string;
  readonly fields: readonly string[];
  readonly time: string;
}

/** The widest form of a line that fits: fields go first, the last one first; then the bar shrinks, then it goes. */
function fitLine({ head, share, counter, fields, time }: Line, width: number): { head: string; rest: string } {
  const texts = Array.from({ length: fields.length + 1 }, (_, dropped) =>
    [counter, ...fields.slice(0, fields.length - dropped), time].filter(Boolean).join(' · '),
  );
  const room = (text: string) => width - measureTextWidth(head) - 2 - measureTextWidth(text);
  if (share !== undefined) {
    for (const [i, text] of texts.entries()) {
      const isLast = i === texts.length - 1;
      const length = Math.min(BAR.longest, room(text));
      // Fields give way to a bar of half of its length.
      if (length >= (isLast ? BAR.shortest : BAR.longest / 2))
        return { head, rest: ` ${drawBar(share, length)} ${text}` };
    }
  }
  const text = texts.find((each) => room(each) >= 0) ?? texts.at(-1) ?? '';
  if (measureTextWidth(head) + 1 + measureTextWidth(text) <= width) return { head, rest: ` ${text}` };
  return { head: shorten(`${head} ${text}`, width), rest: '' };
}

/**
 * Shows the progress of a command: on a terminal one line for each phase, with a bar and the time left, rewritten at most
 * ten times a second; elsewhere plain lines, at most one in ten seconds, and one at the end of each phase.
 */
export function createProgress(options: ProgressOptions): Progress {
  const { stream, name } = options;
  const now = options.now ?? (() => performance.now());
  const onTerminal = stream?.isTTY === true;
  const colors = pc.createColors(options.colors ?? (onTerminal && pc.isColorSupported));
  const interval = onTerminal ? TERMINAL_INTERVAL_MS : PLAIN_INTERVAL_MS;
  const clock = new PhaseClock(now);
  let current: PhaseProgress | undefined;
  let lastWrite = 0;
  /** Characters of the line on the terminal, 0 when there is none. */
  let shownWidth = 0;

  const formatTime = (final: boolean): string => {
    if (final) return formatDuration(clock.getElapsedMs());
    const left = clock.estimateTimeLeft();
    if (!left) return '';
    return `${left.atMost ? 'at most ' : ''}${formatDuration(left.ms)} left${left.of === 'all' ? ' in all' : ''}`;
  };

  const clear = () => {
    if (!onTerminal || shownWidth === 0) return;
    // A terminal that became narrower has wrapped the line.
    const wrapped = Math.ceil(shownWidth / (stream.columns || DEFAULT_COLUMNS)) - 1;
    stream.write(`\r${wrapped > 0 ? `\x1b[${wrapped}A` : ''}\x1b[J`);
    shownWidth = 0;
  };

  const write = (final: boolean) => {
    if (!stream || !current) return;
    const { phase, total, fields = {} } = current;
    const done = final && total > 0 ? total : current.done;
    lastWrite = now();
    const line: Line = {
      head: [name, clock.describePlace(), phase === name ? undefined : phase].filter(Boolean).join(' '),
      // One step has no bar: it would be empty to the end.
      ...(total > 1 ? { share: done / total } : {}),
      counter: total > 1 ? `${done}/${total}` : total === 0 && done > 0 ? `${done}` : '',
      fields: Object.entries(fields).map(formatField),
      time: formatTime(final),
    };
    if (!onTerminal) {
      stream.write(`${line.head}: ${[line.counter, ...line.fields, line.time].filter(Boolean).join(' · ')}\n`);
      return;
    }
    const { head, rest } = fitLine(line, (stream.columns || DEFAULT_COLUMNS) - FREE_COLUMNS);
    shownWidth = measureTextWidth(head + rest);
    stream.write(`\r${colors.bold(head)}${colors.cyan(rest)}\x1b[K${final ? '\n' : ''}`);
    if (final) shownWidth = 0;
  };

  const end = (how: 'completed' | 'cleared') => {
    if (!current) return;
    if (how === 'completed') write(true);
    else clear();
    clock.end();
    current = undefined;
  };

  return {
    plan: (plan) => clock.plan(plan),
    update(event) {
      if (current && event.phase !== current.phase) end('completed');
      const isNew = current === undefined;
      current = event;
      clock.update(event.phase, event.done, event.total);
      // On a terminal the first line comes at once; elsewhere a phase of less than ten seconds writes only its last.
      if (isNew && !onTerminal) lastWrite = now();
      if ((isNew && onTerminal) || now() - lastWrite >= interval) write(false);
    },
    print(text) {
      if (!stream) return;
      clear();
      stream.write(`${text}\n`);
      if (onTerminal) write(false);
    },
    redraw() {
      if (!onTerminal || shownWidth === 0) return;
      clear();
      write(false);
    },
    end,
  };
}
