import { execFileSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { describe, expect, test } from 'vitest';
import { documents, listShiboriCalls, readCodeBlocks } from './markdown.js';

/** Lists the targets of links and pictures that are files of this project. */
function listLocalLinks(file: string): string[] {
  const links = Array.from(readFileSync(file, 'utf8').matchAll(/\]\(([^)\s]+)\)/g), ([, target = '']) => target);
  return links.filter((target) => !/^[a-z]+:|^#/.test(target)).map((target) => target.replace(/#.*$/, ''));
}

const scripts = Object.keys(JSON.parse(readFileSync('package.json', 'utf8')).scripts);
const helps = new Map<string, string>();

/** The whole help of a command; throws for one that does not exist. */
function readHelp(command: string): string {
  const known = helps.get(command);
  if (known !== undefined) return known;
  const text = execFileSync(process.execPath, ['dist/cli/main.js', command, '--help-all'], { encoding: 'utf8' });
  helps.set(command, text);
  return text;
}

describe.each(documents)('%s', (file) => {
  test('links only to files that exist', () => {
    expect(listLocalLinks(file).filter((target) => !existsSync(join(dirname(file), target)))).toEqual([]);
  });

  test('calls only commands and options that exist', () => {
    for (const { language, code, line } of readCodeBlocks(file)) {
      if (language !== 'sh') continue;
      for (const [command = '', ...words] of listShiboriCalls(code)) {
        const help = readHelp(command);
        const options = words.filter((word) => /^--?[a-z]/.test(word)).map((word) => word.replace(/=.*/, ''));
        const unknown = options.filter((option) => !new RegExp(`(^|[ ,])${option}(?![\\w-])`, 'm').test(help));
        expect(unknown, `options of ${command} at ${file}:${line}`).toEqual([]);
      }
      const named = Array.from(code.matchAll(/npm run ([\w-]+)/g), ([, script]) => script ?? '');
      expect(named.filter((script) => !scripts.includes(script))).toEqual([]);
    }
  });
});

test('The README links to every document', () => {
  const linked = listLocalLinks('README.md');
  expect(documents.filter((file) => file !== 'README.md' && !linked.includes(file))).toEqual([]);
});
