import { describe, expect, it } from 'vitest';
import { createProgress, formatDuration, type ProgressStream } from '../../src/node/progress.js';

function recorder(more: Partial<ProgressStream> = {}) {
  const written: string[] = [];
  return { written, stream: { write: (text: string) => written.push(text), ...more } };
}

function clock() {
  let time = 0;
  return { now: () => time, pass: (milliseconds: number) => { time += milliseconds; } }; // biome-ignore format: one line
}

/** What a person sees: without colours and the codes that clear and rewrite a line. */
// biome-ignore lint/suspicious/noControlCharactersInRegex: escapes are the subject
const visible = (text: string) => text.replace(/\x1b\[[0-9;]*[mK]|\r|\n/g, '');

describe('progress on a terminal', () => {
  it('is one line with a bar, the fields and the time left', () => {
    const { written, stream } = recorder({ isTTY: true, columns: 100 });
    const { now, pass } = clock();
    const progress = createProgress({ stream, label: 'finetune', total: 200, now, colors: false });
    pass(10_000);
    progress.update(50, { loss: 0.712345, 'images/s': 1204.4, epoch: '1/3' });
    expect(written).toHaveLength(1);
    expect(visible(written[0] ?? '')).toBe(
      'finetune ██████·················· 50/200 · loss 0.7123 · images/s 1204 · epoch 1/3 · 30 s left',
    );
    expect(written[0]?.startsWith('\r') && written[0].endsWith('\x1b[K')).toBe(true);
  });

  it('is rewritten ten times a second at most, and ends with a new line and the time it took', () => {
    const { written, stream } = recorder({ isTTY: true });
    const { now, pass } = clock();
    const progress = createProgress({ stream, label: 'x', total: 1000, now });
    for (let i = 1; i <= 1000; i++) {
      pass(10);
      progress.update(i);
    }
    expect(written.length).toBeLessThanOrEqual(101);
    progress.done();
    progress.done();
    progress.update(5);
    expect(visible(written.at(-1) ?? '')).toBe(`x ${'█'.repeat(24)} 1000/1000 · 10 s`);
    expect(written.filter((text) => text.endsWith('\n'))).toHaveLength(1);
  });

  it('never wraps, however narrow the terminal', () => {
    const { written, stream } = recorder({ isTTY: true, columns: 60 });
    const progress = createProgress({ stream, label: 'finetune', total: 10 });
    progress.update(3, { loss: 1.23456, accuracy: '12.34 %', 'images/s': 123 });
    expect(visible(written[0] ?? '').length).toBeLessThan(60);
    expect(visible(written[0] ?? '')).toMatch(/…$/);
  });

  it('has colours only where asked for or supported', () => {
    const plain = recorder({ isTTY: true });
    createProgress({ stream: plain.stream, label: 'x', total: 1, colors: false }).update(1);
    expect(plain.written[0]).not.toContain('\x1b[1m');
    const colored = recorder({ isTTY: true });
    createProgress({ stream: colored.stream, label: 'x', total: 1, colors: true }).update(1);
    expect(colored.written[0]).toContain('\x1b[1m');
  });

  it('shows a count alone when the total is unknown', () => {
    const { written, stream } = recorder({ isTTY: true });
    createProgress({ stream, label: 'read', total: 0, colors: false }).update(7);
    expect(visible(written[0] ?? '')).toBe('read 7');
  });
});

describe('the time left', () => {
  it('of a resumed job is told by the speed of this run, not by what was done before', () => {
    const { written, stream } = recorder({ isTTY: true });
    const { now, pass } = clock();
    const progress = createProgress({ stream, label: 'x', total: 1000, now, colors: false });
    progress.update(900);
    pass(10_000);
    progress.update(910);
    expect(visible(written.at(-1) ?? '')).toContain('910/1000 · 1 min 30 s left');
  });
});

describe('progress elsewhere', () => {
  it('is a plain line in ten seconds at most, and one at the end', () => {
    const { written, stream } = recorder();
    const { now, pass } = clock();
    const progress = createProgress({ stream, label: 'evaluate', total: 3000, now });
    for (let i = 1; i <= 25; i++) {
      pass(1000);
      progress.update(i * 100, { accuracy: '40.10 %' });
    }
    progress.done();
    expect(written).toEqual([
      'evaluate: 1000/3000 · accuracy 40.10 % · 20 s left\n',
      'evaluate: 2000/3000 · accuracy 40.10 % · 10 s left\n',
      'evaluate: 2500/3000 · accuracy 40.10 % · 25 s\n',
    ]);
  });

  it('is silent without a stream', () => {
    const progress = createProgress({ stream: undefined, label: 'x', total: 1 });
    progress.update(1);
    progress.done();
  });
});

describe('formatDuration', () => {
  it('is read at a glance', () => {
    expect([0, 7400, 59_400, 59_600, 200_000, 7_500_000].map(formatDuration)).toEqual([
      '0 s', '7 s', '59 s', '1 min 00 s', '3 min 20 s', '2 h 05 min',
    ]); // biome-ignore format: one line reads better
  });
});
