/** Tests run in Node; those in test/browser, test/models and test/demo start browsers on what `npm run build` made. */
import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    environment: 'node',
    include: ['test/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 120_000,
    hookTimeout: 300_000,
    reporters: ['default', './scripts/reporter.ts'],
  },
});
