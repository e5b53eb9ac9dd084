import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { describe, expect, it } from 'vitest';
import { flagsByOption, withFlags, withFlagsInMessages } from '../../src/cli/option-names.js';
import { shibori } from '../support/shibori.js';

describe('withFlags', () => {
  it.each([
    ['give `data` or `validationData`', 'give --data or --validation-data'],
    ["`keep: 'last'` keeps it", '--keep last keeps it'],
    ['`inputSize: [224, 224]`', '--input 224,224'],
    ['`range: [0, 255]` and `range: [-1, 1]`', '--scale 0-255 and --scale -1-1'],
    ['`workers: 0`', '--workers 0'],
    ['`allowSlower: true`', '--allow-slower'],
    ['`summarize` lists the layers', '`shibori summary MODEL` lists the layers'],
    ["`fetchData('tiny-imagenet')`", '`shibori fetch tiny-imagenet`'],
    ['`nothing` and `constructor` stay', '`nothing` and `constructor` stay'],
  ])('%s', (message, expected) => {
    expect(withFlags(message)).toBe(expected);
  });

  it('rewrites messages of a result and nothing else', () => {
    const values = new Float32Array(2);
    expect(withFlagsInMessages({ file: '`data`.png', values, inner: [{ warnings: ['give `data`'] }] })).toEqual({
      file: '`data`.png',
      values,
      inner: [{ warnings: ['give --data'] }],
    });
  });
});

describe('names of options', () => {
  const root = join(import.meta.dirname, '../../src');
  const sources = readdirSync(root, { recursive: true, encoding: 'utf8' })
    .filter((file) => file.endsWith('.ts') && !file.startsWith('cli/'))
    .map((file) => ({ file, text: readFileSync(join(root, file), 'utf8') }));

  it('the library names no flag of the command line', () => {
    // Custom properties of CSS (`--ink:`, `var(--ink)`) look like flags.
    const isCss = (text: string, start: number, end: number) =>
      text.slice(0, start).endsWith('var(') || /^\s*:/.test(text.slice(end));
    const found = sources.flatMap(({ file, text }) =>
      [...text.matchAll(/(?<![\w-])--[a-z][a-z0-9-]*/g)].flatMap((match) =>
        isCss(text, match.index, match.index + match[0].length) ? [] : [`${file}: ${match[0]}`],
      ),
    );
    expect(found).toEqual([]);
  });

  it('the library names no command of the command line', async () => {
    const { stdout } = await shibori(['--help']);
    const commands = [...stdout.slice(stdout.indexOf('Commands:')).matchAll(/^ {2}([a-z]+) {2,}/gm)].map(
      ([, name]) => name,
    );
    expect(commands).toHaveLength(13);
    const call = new RegExp(`shibori (${commands.join('|')})\\b`, 'g');
    const found = sources.flatMap(({ file, text }) => [...text.matchAll(call)].map(([name]) => `${file}: ${name}`));
    expect(found).toEqual([]);
  });

  it('every option that a message may name has a flag that a command takes', async () => {
    const { stdout } = await shibori(['--help']);
    const commands = [...stdout.slice(stdout.indexOf('Commands:')).matchAll(/^ {2}([a-z]+) {2,}/gm)].map(
      ([, name]) => name ?? '',
    );
    const helps = await Promise.all(
      commands.filter((name) => name !== 'help').map((name) => shibori([name, '--help-all'])),
    );
    const all = helps.map((help) => help.stdout).join('\n');
    for (const flag of Object.values(flagsByOption)) expect(all).toMatch(new RegExp(`${flag}\\b`));
  });
});
