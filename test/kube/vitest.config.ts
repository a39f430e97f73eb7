import { configDefaults, defineConfig } from 'vitest/config';
import shared from '../../vitest.config.ts';

/** What needs a real API server: `make test-kube`. One after another, for each takes 0.5 GB. */
export default defineConfig({
  ...shared,
  test: {
    ...shared.test,
    include: ['test/kube/**/*.test.ts'],
    exclude: configDefaults.exclude,
    maxWorkers: 1,
    testTimeout: 120_000,
  },
});
