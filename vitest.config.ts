import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    include: ['test/**/*.test.ts'],
    // Two workers: ONNX Runtime sessions inside the tests use threads of their own.
    maxWorkers: 2,
    reporters: ['default', './test/support/skipped-groups.ts'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
  },
});
