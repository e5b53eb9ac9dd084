import { spawn } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { shibori } from '../support/shibori.js';
import { writeTinyStudy } from '../support/tiny-recipe.js';

const main = resolve(import.meta.dirname, '../../dist/cli/main.js');
/** Enough that a process is stopped long before the end, on any machine. */
const EPOCHS = 60;

let folder = '';
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shibori-finetune-'));
  await writeTinyStudy(folder);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

const training = (work: string) =>
  `finetune net.onnx --data images --train classifier.* --augment --views 2 --epochs ${EPOCHS} --batch 8 --lr 1e-4 --max-lr 1e-2 --threads 1 --work ${work} -o ${work}.onnx --json`.split(
    ' ',
  );

const epochsOf = (work: string): number => {
  const metrics = join(folder, work, 'metrics.jsonl');
  return existsSync(metrics)
    ? readFileSync(metrics, 'utf8')
        .split('\n')
        .filter((line) => line.includes('epoch/')).length
    : 0;
};

/** Starts a training and sends it a signal when so many epochs are done; how it ended, and what it printed. */
async function stopped(args: readonly string[], work: string, epochs: number, signal: NodeJS.Signals) {
  const child = spawn(process.execPath, [main, ...args], { cwd: folder, stdio: ['ignore', 'pipe', 'inherit'] });
  let stdout = '';
  child.stdout.on('data', (chunk) => {
    stdout += String(chunk);
  });
  let ended = false;
  const end = new Promise<{ code: number | null; signal: string | null }>((done) =>
    child.on('close', (code, by) => {
      ended = true;
      done({ code, signal: by });
    }),
  );
  while (!ended && epochsOf(work) < epochs) await new Promise((done) => setTimeout(done, 5));
  child.kill(signal);
  return { ...(await end), stdout };
}

describe('shibori finetune', () => {
  it('learns from a teacher, whose answers a second epoch takes from the first', async () => {
    const args = (model: string, more: readonly string[]) =>
      [
        'finetune',
        model,
        '--data',
        'images',
        '--train',
        '*',
        '--batch',
        '8',
        '--lr',
        '1e-4',
        '--threads',
        '1',
        '--json',
      ].concat(more);
    const own = [
      '--teacher',
      'net.onnx',
      '--epochs',
      '2',
      '--no-dropout',
      '--freeze-batch-norm',
      '--optimizer',
      'sgd',
      '--work',
      'taught',
      '-o',
      'taught.onnx',
    ];
    const taught = await shibori(args('net.onnx', own), { cwd: folder, env: { SHIBORI_HOME: folder } });
    expect(taught.code, taught.stderr).toBe(0);
    // A model that is its own teacher has nothing to learn: the loss is the entropy of what it predicts, and stays.
    const [first, second] = JSON.parse(taught.stdout).history;
    expect(Math.abs(first.trainLoss - second.trainLoss)).toBeLessThan(1e-5);
    const missing = await shibori(args('net.onnx', ['--teacher', 'nobody.onnx']), { cwd: folder });
    expect([missing.code, missing.stderr]).toEqual([expect.any(Number), expect.stringContaining('nobody.onnx')]);
    expect(missing.code).not.toBe(0);
  });

  it('goes on after kill -9 and after Ctrl-C to the very file of an uninterrupted training', async () => {
    const whole = shibori(training('whole'), { cwd: folder });

    const killed = await stopped(training('stopped'), 'stopped', 2, 'SIGKILL');
    expect(killed.signal).toBe('SIGKILL');
    expect(existsSync(join(folder, 'stopped.onnx'))).toBe(false);
    const epochsKept = epochsOf('stopped');
    expect(epochsKept).toBeGreaterThanOrEqual(2);

    const resume = [...training('stopped'), '--resume'];
    const interrupted = await stopped(resume, 'stopped', epochsKept + 3, 'SIGINT');
    expect(interrupted.code).toBe(130);
    const report = JSON.parse(interrupted.stdout);
    expect(report).toMatchObject({ interrupted: true, output: null, work: 'stopped' });
    expect(report.history.length).toBeGreaterThanOrEqual(epochsKept + 3);
    expect(report.history.length).toBeLessThan(EPOCHS);
    expect(existsSync(join(folder, 'stopped.onnx'))).toBe(false);

    const { code, stdout } = await shibori(resume, { cwd: folder });
    expect(code).toBe(0);
    const finished = JSON.parse(stdout);
    const uninterrupted = JSON.parse((await whole).stdout);
    expect(finished.steps).toBe(EPOCHS * 5);
    const losses = (history: { trainLoss: number }[]) => history.map(({ trainLoss }) => trainLoss);
    expect(losses(finished.history)).toEqual(losses(uninterrupted.history));
    expect(readFileSync(join(folder, 'stopped.onnx')).equals(readFileSync(join(folder, 'whole.onnx')))).toBe(true);
    // Every record once, as if nothing had happened.
    const metrics = (work: string) => readFileSync(join(folder, work, 'metrics.jsonl'), 'utf8');
    expect(metrics('stopped')).toBe(metrics('whole'));
  });
});
