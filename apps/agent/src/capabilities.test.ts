import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { capabilitiesSchema } from '@entrofleet/protocol';
import { expect, it } from 'vitest';
import { scratchFolder } from '../../../test/fixtures/scratch.folder.ts';
import {
  readCapabilities,
  readMemory,
  readPeakRssBytes,
  readTemperatureCelsius,
  resetPeakRss,
} from './capabilities.ts';

const GIB = 1024 ** 3;

async function systemWith(files: Readonly<Record<string, string>>): Promise<string> {
  const root = await scratchFolder();
  for (const [path, text] of Object.entries(files)) {
    await mkdir(dirname(join(root, path)), { recursive: true });
    await writeFile(join(root, path), text);
  }
  return root;
}

const MEMINFO = 'MemTotal:        4194304 kB\nMemFree: 1 kB\nMemAvailable:    3145728 kB\n';

it('reads this machine', async () => {
  const folder = await scratchFolder();
  const options = { dataFolder: folder, isa: ['avx2'], memoryBudgetBytes: null };
  const capabilities = capabilitiesSchema.parse(await readCapabilities(options));
  expect(capabilities.diskFreeBytes).toBeGreaterThan(0);
  expect(capabilities.isa).toEqual(['avx2']);
  expect(readPeakRssBytes()).toBeGreaterThan(10 * 1024 * 1024);
});

it('takes memory from the system, the tightest cgroup above us, and a budget', async () => {
  const root = await systemWith({
    'proc/meminfo': MEMINFO,
    'proc/self/status': 'VmRSS:\t  524288 kB\n',
    'proc/self/cgroup': '0::/pod/container\n',
    'sys/fs/cgroup/pod/container/memory.max': 'max\n',
    'sys/fs/cgroup/pod/container/memory.current': '1\n',
    'sys/fs/cgroup/pod/memory.max': `${2 * GIB}\n`,
    'sys/fs/cgroup/pod/memory.current': `${GIB}\n`,
    'sys/fs/cgroup/pod/memory.stat': `anon 1\ninactive_file ${GIB / 2}\n`,
  });
  expect(readMemory({ root, budgetBytes: null })).toEqual({
    totalBytes: 2 * GIB,
    availableBytes: 1.5 * GIB,
  });
  expect(readMemory({ root, budgetBytes: GIB })).toEqual({
    totalBytes: GIB,
    availableBytes: GIB / 2,
  });
});

it('knows cgroups of version 1', async () => {
  const root = await systemWith({
    'proc/meminfo': MEMINFO,
    'proc/self/cgroup': '5:cpu,cpuacct:/a\n4:memory:/a\n',
    'sys/fs/cgroup/memory/a/memory.limit_in_bytes': `${GIB}\n`,
    'sys/fs/cgroup/memory/a/memory.usage_in_bytes': `${GIB / 4}\n`,
    'sys/fs/cgroup/memory/memory.limit_in_bytes': '9223372036854771712\n',
    'sys/fs/cgroup/memory/memory.usage_in_bytes': '1\n',
  });
  expect(readMemory({ root, budgetBytes: null })).toEqual({
    totalBytes: GIB,
    availableBytes: 0.75 * GIB,
  });
});

it('invents nothing where the system says nothing', async () => {
  const root = await systemWith({});
  const capabilities = await readCapabilities({
    dataFolder: join(root, 'absent'),
    isa: [],
    memoryBudgetBytes: null,
    root,
  });
  expect(capabilities).toMatchObject({
    cpuModel: null,
    memoryAvailableBytes: null,
    diskFreeBytes: null,
    accelerator: null,
  });
  expect(readTemperatureCelsius(root)).toBeNull();
  expect(readPeakRssBytes(root)).toBeNull();
});

it('reads a Jetson’s name and its hottest zone that is switched on', async () => {
  const root = await systemWith({
    'proc/device-tree/model': 'NVIDIA Jetson Orin Nano Developer Kit\0',
    'sys/class/thermal/thermal_zone0/temp': '-256000\n',
    'sys/class/thermal/thermal_zone1/temp': '48500\n',
    'sys/class/thermal/thermal_zone2/temp': '51250\n',
    'sys/class/thermal/cooling_device0/temp': '99000\n',
  });
  const options = { dataFolder: root, isa: [], memoryBudgetBytes: null, root };
  expect((await readCapabilities(options)).accelerator).toContain('Jetson Orin Nano');
  expect(readTemperatureCelsius(root)).toBe(51.25);
});

it('asks the kernel to forget the peak of memory, where it lets us', async () => {
  const root = await systemWith({ 'proc/self/clear_refs': '' });
  resetPeakRss(root);
  expect(await readFile(join(root, 'proc/self/clear_refs'), 'utf8')).toBe('5');
  expect(() => resetPeakRss('/no/such/place')).not.toThrow();
});
