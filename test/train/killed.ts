import { spawn } from 'node:child_process';

/**
 * Runs a program and kills it (SIGKILL) some time after its first sign of life.
 *
 * @param delayMs from the first output to the end.
 */
export async function runAndKill(program: string, args: readonly string[], delayMs: number): Promise<void> {
  const child = spawn(process.execPath, [program, ...args], { stdio: ['ignore', 'pipe', 'pipe'] });
  let errors = '';
  child.stderr.on('data', (chunk) => {
    errors += String(chunk);
  });
  const ended = new Promise<NodeJS.Signals | null>((resolve) => child.on('exit', (_, signal) => resolve(signal)));
  await Promise.race([new Promise((resolve) => child.stdout.once('data', resolve)), ended]);
  child.stdout.resume();
  await new Promise((resolve) => setTimeout(resolve, delayMs));
  child.kill('SIGKILL');
  const signal = await ended;
  if (signal !== 'SIGKILL') throw new Error(`The program ended on its own: ${errors}`);
}
