/** What became of the tests in one check. */
export class Tally {
  passed = 0;
  readonly skipped = new Map<string, string[]>();
  readonly failed: string[] = [];

  constructor(
    /** What was checked, for the report. */
    readonly what: string,
  ) {}

  skip(reason: string, test: string): void {
    const tests = this.skipped.get(reason) ?? [];
    this.skipped.set(reason, [...tests, test]);
  }

  fail(test: string, why: unknown): void {
    this.failed.push(`${test}: ${why instanceof Error ? why.message : why}`);
  }

  get skips(): number {
    return [...this.skipped.values()].reduce((sum, tests) => sum + tests.length, 0);
  }
}

/** All checks as one table, the reasons of what was skipped below each. */
export function tableOf(tallies: readonly Tally[]): string {
  const row = (what: string, ...cells: (string | number)[]) =>
    what.padEnd(88) + cells.map((cell) => String(cell).padStart(9)).join('');
  const lines = tallies.flatMap(({ what, passed, skips, skipped, failed }) => [
    row(what, passed, skips, failed.length),
    ...[...skipped]
      .sort(([, a], [, b]) => b.length - a.length)
      .map(([reason, { length }]) => row(`    ${reason}`, '', length, '')),
  ]);
  return [row("ONNX's backend tests", 'passed', 'skipped', 'failed'), ...lines].join('\n');
}
