#!/usr/bin/env node
process.stdout.on('error', (error) => {
  // A reader such as head that has seen enough is no failure.
  process.exit('code' in error && error.code === 'EPIPE' ? 0 : 1);
});

try {
  // Loaded late, so that a missing native addon is explained in one line too.
  const { runCli } = await import('./program.ts');
  process.exitCode = await runCli(process.argv);
} catch (error) {
  process.stderr.write(`entrofleet: ${error instanceof Error ? error.message : String(error)}\n`);
  process.exitCode = 1;
}
