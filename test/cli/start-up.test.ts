import { execFile } from 'node:child_process';
import { resolve } from 'node:path';
import { promisify } from 'node:util';
import { describe, expect, it } from 'vitest';

const exec = promisify(execFile);
const main = resolve(import.meta.dirname, '../../dist/cli/main.js');

/** Prints the native libraries that a process has loaded by its end. */
const listLibraries = `data:text/javascript,${encodeURIComponent(
  "process.on('exit', () => process.stderr.write(process.report.getReport().sharedObjects.join('\\n')));",
)}`;

/** Names of our dependencies' native libraries among those that a run of the command line loaded. */
async function librariesOf(...args: string[]): Promise<string[]> {
  const { stderr } = await exec(process.execPath, ['--import', listLibraries, main, ...args]);
  expect(stderr).not.toBe('');
  return ['onnxruntime', 'sharp'].filter((name) => stderr.includes(name));
}

describe('the start of the command line', () => {
  it.each([['--help'], ['--version'], ['evaluate', '--help'], ['finetune', '--help']])(
    'answers %s %s without an engine or a picture library',
    async (...args) => {
      expect(await librariesOf(...args)).toEqual([]);
    },
  );
});
