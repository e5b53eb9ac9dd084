import { spawn, spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join, resolve } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { requires } from '../support/requires.js';
import { writeTinyStudy } from '../support/tiny-recipe.js';

const main = resolve(import.meta.dirname, '../../dist/cli/main.js');

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), 'shibori-interrupt-'));
  await writeTinyStudy(folder);
});
afterAll(() => rm(folder, { recursive: true, force: true }));

interface Ended {
  readonly code: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** Runs a program and sends it Ctrl-C as soon as what it prints matches. */
function interrupted(
  program: string,
  args: readonly string[],
  when: RegExp,
  signal: () => 'kill' | string,
): Promise<Ended> {
  return new Promise((done, fail) => {
    const child = spawn(program, args, { cwd: folder, env: { ...process.env, NO_COLOR: '1', TERM: 'xterm' } });
    let [stdout, stderr, isSent] = ['', '', false];
    const look = () => {
      if (isSent || !when.test(stdout + stderr)) return;
      isSent = true;
      const how = signal();
      if (how === 'kill') child.kill('SIGINT');
      else child.stdin.write(how);
    };
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString();
      look();
    });
    child.stderr.on('data', (chunk: Buffer) => {
      stderr += chunk.toString();
      look();
    });
    child.on('error', fail);
    child.on('close', (code) => done({ code, stdout, stderr }));
  });
}

const bySignal = (args: readonly string[], when: RegExp) =>
  interrupted(process.execPath, [main, ...args], when, () => 'kill');

const FINETUNE = [
  'finetune',
  'net.onnx',
  '--data',
  'images',
  '--train',
  'classifier.*',
  '--work',
  'my work',
  '--epochs',
];
const hasScript = spawnSync('script', ['--version']).status === 0;

/** The command line that resumes, as it is printed. */
const resumeLine = (text: string) => /Resume with:\r?\n {2}(.*)/.exec(text)?.[1]?.trim();

describe('Ctrl-C', () => {
  it('a training saves its checkpoint, exits with 130, and the command that it prints resumes it', async () => {
    const { code, stdout, stderr } = await bySignal([...FINETUNE, '3000'], /epoch 2\/3000/);
    expect(code).toBe(130);
    expect(stderr).toContain('Interrupted. The checkpoint is in my work; no model was written.');
    expect(stderr + stdout).not.toMatch(/^ {4}at /m);
    const line = resumeLine(stderr) ?? '';
    expect(line).toMatch(
      /^node \S*main\.js finetune net\.onnx .*--train 'classifier\.\*' --work 'my work' --epochs 3000 --resume$/,
    );
    const shorter = line.replace('--epochs 3000', '--epochs 1').replace(/^node \S+/, `node ${main}`);
    const resumed = spawnSync('sh', ['-c', `${shorter} --json`], { cwd: folder, encoding: 'utf8' });
    expect(resumed.status).toBe(0);
    expect(JSON.parse(resumed.stdout).history.length).toBeGreaterThanOrEqual(1);
    expect(resumed.stderr).not.toContain('no checkpoint');
  });

  it('with --json it is one document that says so', async () => {
    // No progress is printed: the checkpoint's folder tells that it runs.
    const { code, stdout, stderr } = await bySignal(
      ['compress', 'net.pt', '--data', 'images', '--params', '60%', '--finetune', '4000', '--json'],
      /calibration images are few/,
    );
    expect(code).toBe(130);
    expect(JSON.parse(stdout)).toEqual({
      error: {
        code: 'interrupted',
        message: expect.stringMatching(
          /^Intermediate results are in shibori-out.compress.net; no model was written\.$/,
        ),
        resume: expect.stringMatching(/ compress net\.pt --data images --params 60% --finetune 4000 --json$/),
      },
    });
    expect(stderr).not.toContain('    at ');
  });

  it('a command that saves nothing on the way says that, and leaves no temporary file', async () => {
    const { code, stderr } = await bySignal(['demo', '-o', 'demo'], /demo epoch 1\/3/);
    expect(code).toBe(130);
    expect(stderr.trim().split('\n').at(-1)).toBe('Interrupted. Nothing was saved.');
    expect(existsSync(join(folder, 'demo', 'digits.pt'))).toBe(false);
    expect(readdirSync(join(folder, 'demo')).filter((name) => name.endsWith('.tmp'))).toEqual([]);
  });

  it(
    'on a terminal it leaves a clean line: no half bar, the cursor visible',
    requires('pseudo terminal', hasScript),
    async () => {
      const command = [process.execPath, main, ...FINETUNE.slice(0, -2), 'work', '--epochs', '3000'].map(
        (word) => `'${word}'`,
      );
      const { code, stdout } = await interrupted(
        'script',
        ['-qefc', `stty cols 60; ${command.join(' ')}`, '/dev/null'],
        /epoch 2\/3000/,
        () => '\x03',
      );
      expect(code).toBe(130);
      // What comes after Ctrl-C: the bar is cleared, then there are whole lines.
      const end = stdout.slice(stdout.lastIndexOf('Stopping'));
      expect(end).toMatch(/Interrupted\. The checkpoint is in .*\r\nResume with:\r\n {2}.*--resume\r\n$/s);
      expect(end).not.toMatch(/[█·]/);
      expect(end).not.toMatch(/^ {4}at /m);
      const hidden = stdout.lastIndexOf('\x1b[?25l');
      expect(stdout.lastIndexOf('\x1b[?25h')).toBeGreaterThanOrEqual(hidden);
    },
  );
});
