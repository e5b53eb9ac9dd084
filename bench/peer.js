/** The other side: a Python process that computes only when it is asked to, one line of JSON a question. */
import { spawn } from 'node:child_process';
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { readTorch } from '../dist/formats/torch/read.js';
import { writeTorch } from '../dist/formats/torch/write.js';

const SCRIPT = fileURLToPath(new URL('peer.py', import.meta.url));

/** PyTorch gets the allocator settings that serve it best: by default glibc gives large blocks back after every use. */
const ALLOCATOR = { MALLOC_MMAP_THRESHOLD_: '1000000000', MALLOC_TRIM_THRESHOLD_: '10000000000' };

export class Peer {
  #child;
  #folder;
  #waiting;
  #complaints = '';

  constructor(python, threads, folder) {
    this.#folder = folder;
    const environment = { ...ALLOCATOR, OMP_NUM_THREADS: `${threads}`, OPENBLAS_NUM_THREADS: `${threads}` };
    this.#child = spawn(python, ['-B', SCRIPT, `${threads}`], { env: { ...process.env, ...environment } });
    const failed = (why) => {
      this.#waiting?.reject(new Error(`${python} ${why}.\n${this.#complaints}`));
      this.#waiting = undefined;
    };
    this.#child.on('error', (error) => failed(`cannot be started (${error.message})`));
    this.#child.on('exit', (code, signal) => failed(`ended (${signal ?? code})`));
    // A process that is gone is reported by its end, not by the pipe to it.
    this.#child.stdin.on('error', () => {});
    this.#child.stderr.on('data', (text) => {
      this.#complaints = (this.#complaints + text).slice(-4000);
    });
    createInterface({ input: this.#child.stdout }).on('line', (line) => {
      const waiting = this.#waiting;
      this.#waiting = undefined;
      const reply = JSON.parse(line);
      if (reply.error) waiting?.reject(new Error(`${python}: ${reply.error}`));
      else waiting?.resolve(reply);
    });
  }

  /** Which versions of what it has: `{ python, torch, numpy, blas }`, `null` for what is missing. */
  versions = () => this.#ask({ ask: 'versions' });

  /** Makes a task of `tasks.py` the one that is asked from now on. */
  async start(task, weights, inputs) {
    const file = join(this.#folder, 'inputs.pt');
    await writeFile(file, await writeTorch(inputs));
    await this.#ask({ ask: 'start', task, weights, inputs: file });
    await rm(file);
  }

  /** The task's results on its inputs, as named tensors. */
  async check() {
    const file = join(this.#folder, 'results.pt');
    await this.#ask({ ask: 'check', results: file });
    const { tensors } = await readTorch(await readFile(file), file);
    await rm(file);
    return tensors;
  }

  /** Seconds that the task takes. */
  async time(how) {
    return (await this.#ask({ ask: 'time', how })).seconds;
  }

  /** The most memory that the process has held so far, in bytes. */
  async peakBytes() {
    return (await this.#ask({ ask: 'peak' })).kilobytes * 1024;
  }

  async stop() {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null || this.#child.pid === undefined) return;
    const gone = new Promise((resolve) => this.#child.once('exit', resolve));
    this.#child.stdin.end();
    await gone;
  }

  #ask(question) {
    return new Promise((resolve, reject) => {
      this.#waiting = { resolve, reject };
      this.#child.stdin.write(`${JSON.stringify(question)}\n`);
    });
  }
}
