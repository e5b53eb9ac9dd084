import { beforeAll, describe, expect, it } from 'vitest';
import { listBlocks, listExamples, type Outcome, runSnippets } from './snippets.js';

describe('code in doc comments and in the README', () => {
  const examples = listExamples();
  const blocks = listBlocks('README.md');
  let outcomes: ReadonlyMap<string, Outcome>;
  beforeAll(async () => {
    const broken = { where: 'a line that does not compile', code: 'const n: number = float32([1]);' };
    const wrong = { where: 'a value that is wrong', code: 'max.length // 7' };
    const found = await runSnippets([...examples, ...blocks, broken, wrong]);
    outcomes = new Map(found.map((outcome) => [outcome.where, outcome]));
  }, 180_000);

  it('is there', () => {
    expect(examples.length).toBeGreaterThan(10);
    expect(blocks.length).toBeGreaterThan(0);
  });

  it.each([...examples, ...blocks])('$where compiles and runs', ({ where }) => {
    expect(outcomes.get(where)?.error).toBeUndefined();
  });

  it('fails where it does not compile, and where a value is wrong', () => {
    expect(outcomes.get('a line that does not compile')?.error).toContain('TS2322');
    expect(outcomes.get('a value that is wrong')?.error).toContain('AssertionError');
  });
});
