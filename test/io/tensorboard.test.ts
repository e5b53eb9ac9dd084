import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import { createEventFile } from '../../src/io/tensorboard.js';
import { decodeEvents } from '../formats/decode-events.js';

const folder = mkdtempSync(join(tmpdir(), 'shibori-events-'));
afterAll(() => rmSync(folder, { recursive: true, force: true }));

describe('event files', () => {
  it('grow by a readable record at a time', async () => {
    let clock = 1_700_000_000_500;
    const file = await createEventFile(join(folder, 'run'), { now: () => clock });
    expect(basename(file.path)).toMatch(/^events\.out\.tfevents\.1700000000\./);
    const version = { wallTime: 1_700_000_000.5, fileVersion: 'brain.Event:2' };
    expect(decodeEvents(readFileSync(file.path))).toEqual([version]);
    clock += 1000;
    await file.addScalars(3, { 'loss/train': 0.5, 'accuracy/train': 0.25 });
    await file.addScalars(4, { 'loss/train': Number.NaN });
    await file.close();
    expect(decodeEvents(readFileSync(file.path))).toEqual([
      version,
      {
        wallTime: 1_700_000_001.5,
        step: 3,
        scalars: [
          ['loss/train', 0.5],
          ['accuracy/train', 0.25],
        ],
      },
      { wallTime: 1_700_000_001.5, step: 4, scalars: [['loss/train', Number.NaN]] },
    ]);
  });

  it('make TensorBoard forget what earlier files hold of the steps to come', async () => {
    const file = await createEventFile(join(folder, 'resumed'), { now: () => 2000, purgeFrom: 300 });
    await file.close();
    expect(decodeEvents(readFileSync(file.path))).toEqual([
      { wallTime: 2, fileVersion: 'brain.Event:2' },
      { wallTime: 2, step: 300, session: 1 },
    ]);
  });

  it('never touch the file of an earlier run, even in the same second', async () => {
    const now = () => 1000;
    const first = await createEventFile(folder, { now });
    const second = await createEventFile(folder, { now });
    expect(second.path).not.toBe(first.path);
    await first.close();
    await second.close();
  });

  it('say where they cannot be written', async () => {
    writeFileSync(join(folder, 'file'), '');
    await expect(createEventFile(join(folder, 'file'))).rejects.toThrow(/Writing TensorBoard events in .*file: /);
  });
});
