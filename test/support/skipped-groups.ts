import type { Reporter, TestCase, TestModule } from 'vitest/node';
import { type Group, groups } from './requires.js';

/** Finds the group that a skipped test, or a suite around it, names. */
function findGroup(test: TestCase): Group | undefined {
  let task: TestCase | TestCase['parent'] = test;
  while (task.type !== 'module') {
    const { requires } = task.meta();
    if (requires !== undefined) return requires;
    task = task.parent;
  }
  return undefined;
}

/**
 * Describes in one line how many tests were skipped, by group, and what would enable each.
 *
 * @param counts skipped tests by group. Tests that a filter leaves out belong to none and are not counted.
 */
export function describeSkipped(counts: ReadonlyMap<Group, number>): string {
  const total = [...counts.values()].reduce((sum, count) => sum + count, 0);
  if (total === 0) return 'Skipped no group of tests.';
  const parts = [...counts].map(([group, count]) => `${count} ${group} (${groups[group]})`);
  return `Skipped ${total} test${total === 1 ? '' : 's'}: ${parts.join(', ')}.`;
}

/** Counts the skipped tests of modules by the group that they name. */
export function countSkipped(modules: readonly TestModule[]): Map<Group, number> {
  const counts = new Map<Group, number>();
  for (const module of modules) {
    for (const test of module.children.allTests('skipped')) {
      const group = findGroup(test);
      if (group !== undefined) counts.set(group, (counts.get(group) ?? 0) + 1);
    }
  }
  return counts;
}

/** Prints, as the last line of a run, which groups of tests were skipped. */
export default class SkippedGroups implements Reporter {
  onTestRunEnd(modules: readonly TestModule[]): void {
    process.stdout.write(`${describeSkipped(countSkipped(modules))}\n`);
  }
}
