import { describe, expect, it } from 'vitest';
import { schedules } from '../../src/train/schedules.js';
import { shibori } from '../support/shibori.js';

const run = (...args: string[]) => shibori(args);
/** All commands, as the program lists them. */
const [, list = ''] = (await run('--help')).stdout.split('Commands:');
const COMMANDS = list
  .split('\n')
  .flatMap((line) => /^ {2}([a-z]+) /.exec(line)?.[1] ?? [])
  .filter((command) => command !== 'help');

describe('help', () => {
  it('the overview lists every command', () => {
    expect(COMMANDS).toEqual([
      'summary',
      'evaluate',
      'explain',
      'compress',
      'sweep',
      'finetune',
      'train',
      'compare',
      'export',
      'run',
      'fetch',
      'demo',
    ]);
  });

  it.each(COMMANDS)('%s --help has groups and an example, fits 80 columns and 70 lines', async (command) => {
    const [short, all] = await Promise.all([run(command, '--help'), run(command, '--help-all')]);
    for (const { code, stdout, stderr } of [short, all]) {
      expect(code).toBe(0);
      expect(stderr).toBe('');
      expect(stdout).toMatch(new RegExp(`Examples?:\\n {2}shibori ${command}`));
      expect(stdout).toMatch(/^Output and machine:\n {2}--json/m);
      for (const line of stdout.split('\n')) expect([...line].length).toBeLessThanOrEqual(80);
    }
    expect(short.stdout.split('\n').length).toBeLessThanOrEqual(70);
    // What the short help only names, the long one describes.
    const named = short.stdout.split('More options')[1]?.match(/--[a-z-]+/g) ?? [];
    for (const option of named.filter((name) => name !== '--help-all')) {
      expect(all.stdout).toMatch(new RegExp(`^ {2}(-., )?${option}[ \\n]`, 'm'));
    }
  });

  it.each([
    ['layers', '--help'],
    ['help', 'layers'],
    ['trian', '-h'],
  ])('%s %s names no command: it is refused, not answered in general', async (...args) => {
    const { code, stdout, stderr } = await run(...args);
    expect(code).toBe(2);
    expect(stdout).toBe('');
    expect(stderr).toMatch(/unknown command '(layers|trian)'/);
  });

  it.each(COMMANDS)('help %s is the help of that command', async (command) => {
    const [wanted, given] = await Promise.all([run('help', command), run(command, '--help')]);
    expect(wanted.stdout).toMatch(new RegExp(`^Usage: shibori ${command} `));
    expect(wanted).toEqual(given);
  });

  it('names no option or value that is renamed', async () => {
    const helps = await Promise.all(COMMANDS.map((command) => run(command, '--help-all')));
    const text = helps.map(({ stdout }) => stdout).join('\n');
    for (const old of ['--bonds', '--val-data', '--val-split', '--beside', 'factored', 'rebuilt', 'auto or study']) {
      expect(text).not.toContain(old);
    }
  });

  it('lists every schedule, in all commands that have one', async () => {
    const helps = await Promise.all(COMMANDS.map(async (command) => ({ command, ...(await run(command, '--help')) })));
    const scheduled = helps.filter(({ stdout }) => /^ {2}--schedule /m.test(stdout));
    expect(scheduled.map(({ command }) => command)).toEqual(['finetune', 'train']);
    for (const { stdout } of scheduled) {
      const text = stdout.replace(/\s+/g, ' ');
      for (const name of Object.keys(schedules)) expect(text).toContain(name);
    }
  });

  it('an option means the same in every command that has it', async () => {
    const helps = await Promise.all(COMMANDS.map((command) => run(command, '--help-all')));
    for (const option of ['--seed', '--lr', '--image-layout', '--limit', '--json', '--threads', '--map-images']) {
      const texts = helps.flatMap(({ stdout }) => {
        const found = new RegExp(`^ {2}${option} (.*(?:\\n {10,}.*)*)`, 'm').exec(stdout)?.[1];
        return found === undefined ? [] : [found.replace(/\s+/g, ' ')];
      });
      expect(texts.length, option).toBeGreaterThan(1);
      expect(new Set(texts).size, `${option}: ${texts.join(' | ')}`).toBe(1);
    }
  });
});
