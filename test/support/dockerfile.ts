import { spawnSync } from 'node:child_process';
import { copyFileSync, existsSync, mkdirSync, statSync, utimesSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';

export interface Instruction {
  /** In capitals: FROM, COPY, RUN. */
  readonly keyword: string;
  readonly rest: string;
}

/** The stages of a Dockerfile, each with its instructions after FROM. */
export function stagesOf(dockerfile: string): Instruction[][] {
  const text = dockerfile.replaceAll(/^#.*\n/gm, '').replaceAll(/\\\n\s*/g, '');
  const stages: Instruction[][] = [];
  for (const line of text.split('\n').filter((l) => l.trim() !== '')) {
    const [keyword = '', ...words] = line.trim().split(/\s+/);
    if (keyword === 'FROM') stages.push([]);
    else stages.at(-1)?.push({ keyword, rest: words.join(' ') });
  }
  return stages;
}

/** The words of an instruction in its JSON form. */
export function wordsOf(stage: readonly Instruction[], keyword: string): string[] {
  const found = stage.find((instruction) => instruction.keyword === keyword);
  const list = found?.rest.slice(found.rest.indexOf('['));
  return list === undefined ? [] : JSON.parse(list).map(String);
}

/**
 * Carries out a build stage in a folder that stands for the image's root, with nothing in it but
 * what the stage copies. Commands run on this machine, so they must name paths by where they are.
 * @throws Error with the output of a command that fails, or the path of a source that is missing.
 */
export function runStage(
  stage: readonly Instruction[],
  use: {
    /** The build context; what git ignores is not part of it. */
    readonly context: string;
    readonly imageRoot: string;
    /** PATH among them. */
    readonly environment: Readonly<Record<string, string>>;
  },
): void {
  let folder = use.imageRoot;
  for (const { keyword, rest } of stage) {
    if (keyword === 'WORKDIR') {
      folder = join(use.imageRoot, rest);
      mkdirSync(folder, { recursive: true });
    } else if (keyword === 'COPY') {
      copyIn(rest.split(' '), { context: use.context, folder });
    } else if (keyword === 'RUN') {
      runIn(rest, { folder, environment: use.environment });
    } else if (keyword !== 'ARG') {
      throw new Error(`${keyword} ${rest}: not known here`);
    }
  }
}

function copyIn(paths: readonly string[], use: { context: string; folder: string }): void {
  const target = paths.at(-1) ?? '';
  for (const source of paths.slice(0, -1)) {
    const files = filesOf(source, use.context);
    if (files.length === 0) throw new Error(`COPY ${source}: there is no such file`);
    const isFolder = statSync(join(use.context, source)).isDirectory();
    const base = isFolder ? source : dirname(source);
    for (const file of files) {
      const name = file.slice(base === '.' ? 0 : base.length + 1);
      const from = join(use.context, file);
      const to = resolve(use.folder, target, name);
      mkdirSync(dirname(to), { recursive: true });
      copyFileSync(from, to);
      // What was compiled from it before is then not compiled again.
      const { atime, mtime } = statSync(from);
      utimesSync(to, atime, mtime);
    }
  }
}

function filesOf(source: string, context: string): string[] {
  const list = ['ls-files', '-z', '--cached', '--others', '--exclude-standard', '--', source];
  const { stdout } = spawnSync('git', list, { cwd: context, encoding: 'utf8' });
  return stdout.split('\0').filter((file) => file !== '' && existsSync(join(context, file)));
}

function runIn(
  command: string,
  use: { folder: string; environment: Readonly<Record<string, string>> },
): void {
  const run = spawnSync('sh', ['-ec', command], {
    cwd: use.folder,
    encoding: 'utf8',
    env: { ...use.environment },
    maxBuffer: 1 << 26,
  });
  if (run.status === 0) return;
  throw new Error(`RUN ${command}\n${run.stdout.slice(-4000)}${run.stderr.slice(-4000)}`);
}
