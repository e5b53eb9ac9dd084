/** Groups of tests that need something that not every machine has, and what enables each. */
export const groups = {
  'shared data': 'set SHIBORI_DATA to a folder of real models and images',
  cases: 'set SHIBORI_CASES to a folder of small models',
  PyTorch: 'apt-get install python3-torch, or PYTHON of an environment that has it',
  Chromium: 'apt-get install chromium',
  'ONNX backend tests': 'apt-get install libonnx-testdata',
  'pseudo terminal': 'apt-get install bsdutils',
  'small disk': 'run as root, or where tmpfs can be mounted',
  'npm registry': 'run with access to the npm registry',
  Linux: 'run on Linux',
} as const;

/** Names a group of tests. */
export type Group = keyof typeof groups;

declare module 'vitest' {
  interface TaskMeta {
    /** What a skipped test or suite needs. */
    requires?: Group;
  }
}

/**
 * Builds the options of a test or suite that needs something: it is skipped where that is missing, and the last line of
 * the run says so.
 */
export function requires(group: Group, isThere: boolean): { skip?: true; meta?: { requires: Group } } {
  return isThere ? {} : { skip: true, meta: { requires: group } };
}
