import { describe, expect, it } from 'vitest';
import { createProgress, formatDuration, type ProgressStream } from '../../../src/cli/terminal/progress.js';
import { measureTextWidth } from '../../../src/cli/terminal/text-width.js';
import type { PhasePlan } from '../../../src/context/phase-clock.js';

interface Options {
  readonly columns?: number;
  readonly isTTY?: boolean;
  readonly colors?: boolean;
  readonly name?: string;
}

/** Progress with a clock that the test moves, and what it has written. */
function harness({ columns = 80, isTTY = true, colors = false, name = 'compress' }: Options = {}) {
  const written: string[] = [];
  let time = 0;
  const stream: ProgressStream & { columns: number } = { write: (text) => written.push(text), isTTY, columns };
  return {
    written,
    stream,
    pass: (seconds: number) => {
      time += 1000 * seconds;
    },
    progress: createProgress({ stream, name, now: () => time, colors }),
    last: () => visible(written.at(-1) ?? ''),
  };
}

/** What a person sees: without colours and the codes that clear and rewrite a line. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: escapes are the subject
const visible = (text: string) => text.replace(/\x1b\[[0-9;]*[mKJA]|\r|\n/g, '');

describe('progress on a terminal', () => {
  it('is one line with a bar, the fields and the time left', () => {
    const { progress, written, pass, last } = harness({ columns: 100, name: 'finetune' });
    progress.update({ phase: 'epoch 1/3', done: 0, total: 200 });
    pass(10);
    progress.update({ phase: 'epoch 1/3', done: 50, total: 200, fields: { loss: 0.712345, 'images/s': 1204.4 } });
    expect(written).toHaveLength(2);
    expect(last()).toBe('finetune epoch 1/3 ██████·················· 50/200 · loss 0.7123 · images/s 1204 · 30 s left');
    expect(written[1]?.startsWith('\r') && written[1].endsWith('\x1b[K')).toBe(true);
  });

  it('is rewritten ten times a second at most, and ends with a new line and the time it took', () => {
    const { progress, written, pass, last } = harness();
    for (let i = 1; i <= 1000; i++) {
      progress.update({ phase: 'refit', done: i, total: 1000 });
      pass(0.01);
    }
    expect(written.length).toBeLessThanOrEqual(101);
    progress.end('completed');
    progress.end('completed');
    expect(last()).toBe(`compress refit ${'█'.repeat(24)} 1000/1000 · 10 s`);
    expect(written.filter((text) => text.endsWith('\n'))).toHaveLength(1);
  });

  it('a phase ends at its total when the next one begins', () => {
    const { progress, written } = harness();
    progress.update({ phase: 'curves', done: 19, total: 20 });
    progress.update({ phase: 'fold', done: 0, total: 1 });
    progress.update({ phase: 'refit', done: 0, total: 16 });
    expect(written.filter((text) => text.endsWith('\n')).map(visible)).toEqual([
      `compress curves ${'█'.repeat(24)} 20/20 · 0 s`,
      'compress fold 0 s',
    ]);
  });

  it.each([200, 80, 60, 40, 20, 10])('never wraps on a terminal of %i columns', (columns) => {
    const { progress, written, pass } = harness({ columns });
    progress.plan({
      phases: [
        { name: 'evaluate original', weight: 1 },
        { name: 'refit', weight: 1 },
      ],
    });
    for (let i = 0; i <= 100; i++) {
      pass(40);
      const fields = { loss: 1.23456, layer: 'features.denseblock4.denselayer16.conv2', 'data wait': '12 %' };
      progress.update({ phase: 'evaluate original', done: 100 * i, total: 10_000, fields });
    }
    progress.end('completed');
    expect(written.length).toBeGreaterThan(100);
    for (const text of written) expect(measureTextWidth(visible(text))).toBeLessThanOrEqual(columns - 3);
  });

  it('at 60 columns the time left stays, and fields give way', () => {
    const { progress, pass, last } = harness({ columns: 60 });
    progress.plan({
      phases: [
        { name: 'curves', weight: 1 },
        { name: 'refit', weight: 1 },
      ],
    });
    progress.update({ phase: 'curves', done: 0, total: 20 });
    pass(40);
    progress.update({ phase: 'curves', done: 10, total: 20, fields: { layer: 'features.28' } });
    expect(last()).toBe('compress 1/2 curves ███··· 10/20 · 2 min 00 s left in all');
  });

  it('counts columns, not characters', () => {
    expect(measureTextWidth('cafe\u0301')).toBe(4);
    expect(measureTextWidth('絞り')).toBe(4);
    expect(measureTextWidth('\x1b[1mbold\x1b[22m')).toBe(4);
    const { progress, last } = harness({ columns: 20 });
    progress.update({ phase: '絞り'.repeat(20), done: 1, total: 2 });
    expect(measureTextWidth(last())).toBeLessThan(20);
  });

  it('a narrower terminal: the wrapped line is cleared and drawn again', () => {
    const { progress, written, stream, last } = harness({ columns: 80 });
    progress.update({ phase: 'refit', done: 1, total: 2, fields: { layer: 'x'.repeat(60) } });
    stream.columns = 40;
    progress.redraw();
    // 77 columns have become two rows.
    expect(written.at(-2)).toBe('\r\x1b[1A\x1b[J');
    expect(measureTextWidth(last())).toBeLessThan(40);
  });

  it('notes are lines of their own above the bar', () => {
    const { progress, written } = harness();
    progress.update({ phase: 'refit', done: 1, total: 2 });
    progress.print('warning: an image is damaged');
    expect(written.slice(1)).toEqual([
      '\r\x1b[J',
      'warning: an image is damaged\n',
      expect.stringMatching(/^\r.*refit/),
    ]);
  });

  it('an interrupted phase leaves no half bar', () => {
    const { progress, written } = harness();
    progress.update({ phase: 'refit', done: 1, total: 2 });
    progress.end('cleared');
    expect(written.at(-1)).toBe('\r\x1b[J');
  });

  it('has colours only where asked for or supported', () => {
    const plain = harness();
    plain.progress.update({ phase: 'x', done: 1, total: 2 });
    expect(plain.written[0]).not.toContain('\x1b[1m');
    const colored = harness({ colors: true });
    colored.progress.update({ phase: 'x', done: 1, total: 2 });
    expect(colored.written[0]).toContain('\x1b[1m');
  });

  it('shows a count alone when the total is unknown', () => {
    const { progress, last } = harness({ name: 'read' });
    progress.update({ phase: 'read', done: 7, total: 0 });
    expect(last()).toBe('read 7');
  });
});

describe('the time left', () => {
  const PLAN: PhasePlan = {
    phases: [
      { name: 'load', weight: 1 },
      { name: 'curves', weight: 4 },
      { name: 'refit', weight: 3 },
    ],
  };

  it('of a resumed job follows the speed of this run, not what was done before', () => {
    const { progress, pass, last } = harness();
    progress.update({ phase: 'x', done: 900, total: 1000 });
    pass(10);
    progress.update({ phase: 'x', done: 910, total: 1000 });
    expect(last()).toContain('910/1000 · 1 min 30 s left');
  });

  it('is that of the whole command where its phases are known', () => {
    const { progress, pass, last } = harness({ columns: 100 });
    progress.plan(PLAN);
    progress.update({ phase: 'load', done: 0, total: 10 });
    pass(10);
    progress.update({ phase: 'curves', done: 0, total: 8 });
    // 10 s for weight 1: 40 s for the curves, 30 s for the refit.
    expect(last()).toMatch(/^compress 2\/3 curves .* 0\/8 · 1 min 10 s left in all$/);
    pass(60);
    progress.update({ phase: 'curves', done: 6, total: 8 });
    // The curves take 80 s at their own speed: 20 s more; 70 s for weight 1 + 3, so 52.5 s for the refit.
    expect(last()).toMatch(/ 6\/8 · 1 min 13 s left in all$/);
    pass(20);
    progress.update({ phase: 'refit', done: 0, total: 4 });
    pass(30);
    progress.update({ phase: 'refit', done: 2, total: 4 });
    expect(last()).toMatch(/^compress 3\/3 refit .* 2\/4 · 30 s left in all$/);
  });

  it('is not guessed before a twentieth of the work was measured', () => {
    const { progress, pass, last } = harness();
    progress.plan({
      phases: [
        { name: 'load', weight: 1 },
        { name: 'curves', weight: 100 },
        { name: 'refit', weight: 1 },
      ],
    });
    progress.update({ phase: 'load', done: 0, total: 10 });
    pass(10);
    progress.update({ phase: 'curves', done: 0, total: 100 });
    expect(last()).toBe(`compress 2/3 curves ${'·'.repeat(24)} 0/100`);
    pass(50);
    progress.update({ phase: 'curves', done: 2, total: 100 });
    expect(last()).not.toContain('left');
    pass(100);
    progress.update({ phase: 'curves', done: 6, total: 100 });
    expect(last()).toContain('left in all');
  });

  it('phases that are taken from an earlier run are not measured', () => {
    const { progress, pass, last } = harness();
    progress.plan(PLAN);
    // Nothing is loaded, and the curves are there already.
    progress.update({ phase: 'refit', done: 0, total: 4 });
    pass(10);
    progress.update({ phase: 'refit', done: 1, total: 4 });
    expect(last()).toMatch(/^compress 3\/3 refit .* 1\/4 · 30 s left in all$/);
  });

  it('is an upper bound where phases may be left out', () => {
    const { progress, pass, last } = harness();
    progress.plan({ ...PLAN, atMost: true });
    progress.update({ phase: 'load', done: 0, total: 10 });
    pass(10);
    progress.update({ phase: 'curves', done: 0, total: 8 });
    expect(last()).toMatch(/ · at most 1 min 10 s left in all$/);
  });
});

describe('progress elsewhere', () => {
  it('is a plain line now and then, and one at the end of each phase', () => {
    const { progress, written, pass } = harness({ isTTY: false });
    for (let i = 0; i < 250; i++) {
      progress.update({ phase: 'evaluate', done: i, total: 250 });
      pass(0.1);
    }
    progress.end('completed');
    expect(written).toEqual([
      'compress evaluate: 100/250 · 15 s left\n',
      'compress evaluate: 200/250 · 5 s left\n',
      'compress evaluate: 250/250 · 25 s\n',
    ]);
  });

  it('is nothing without a stream', () => {
    const progress = createProgress({ stream: undefined, name: 'x' });
    progress.update({ phase: 'x', done: 1, total: 2 });
    progress.print('text');
    progress.end('completed');
  });
});

describe('durations', () => {
  it.each([
    [400, '0 s'],
    [7_400, '7 s'],
    [59_400, '59 s'],
    [59_600, '1 min 00 s'],
    [200_000, '3 min 20 s'],
    [7_500_000, '2 h 05 min'],
  ])('%i ms are %s', (milliseconds, expected) => {
    expect(formatDuration(milliseconds)).toBe(expected);
  });
});
