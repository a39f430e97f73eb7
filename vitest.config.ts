import { configDefaults, defineConfig } from 'vitest/config';

export default defineConfig({
  resolve: { conditions: ['entrofleet-source'] },
  ssr: { resolve: { conditions: ['entrofleet-source'] } },
  test: {
    include: ['libs/**/src/**/*.test.ts', 'apps/**/src/**/*.test.ts', 'test/**/*.test.ts'],
    // They need an API server that takes minutes to compile: `make test-kube`.
    exclude: [...configDefaults.exclude, 'test/kube/**'],
    testTimeout: 60_000,
    hookTimeout: 120_000,
    pool: 'forks',
    maxWorkers: 2,
  },
});
