/**
 * Tests run in Node; those in test/browser, test/models and test/demo start browsers on what `npm run build` made. Those in test/gpu
 * take their time and are run by themselves: `npm run test:gpu`.
 */
import { defineConfig } from 'vitest/config';

export default defineConfig(({ mode }) => ({
  test: {
    environment: 'node',
    include: [mode === 'gpu' ? 'test/gpu/*.test.ts' : 'test/!(gpu)/**/*.test.ts'],
    pool: 'forks',
    maxWorkers: 2,
    testTimeout: 120_000,
    hookTimeout: 300_000,
    reporters: ['default', './scripts/reporter.ts'],
  },
}));
