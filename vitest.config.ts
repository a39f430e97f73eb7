import { defineConfig } from 'vitest/config';

export default defineConfig({
  resolve: { conditions: ['entrofleet-source'] },
  ssr: { resolve: { conditions: ['entrofleet-source'] } },
  test: {
    include: ['libs/**/src/**/*.test.ts', 'apps/**/src/**/*.test.ts', 'test/**/*.test.ts'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    pool: 'forks',
    maxWorkers: 2,
  },
});
