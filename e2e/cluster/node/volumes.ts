/** The volumes of one pod as folders, and where the mount paths of its containers lie. */
import { mkdir, rm, stat, writeFile } from 'node:fs/promises';
import { join, normalize } from 'node:path';
import { type VolumeFiles, writeFiles } from './atomic-files.ts';
import { ConfigError } from './environment.ts';
import { expand, type MountedPath } from './expansion.ts';
import type { Container, TokenProjection, Volume, VolumeMount } from './pod.ts';
import { type FileSources, projectionsOf, sameFiles, type TokenCache, volumeFiles } from './volume-files.ts';

export interface VolumesOptions extends FileSources {
  /** Absolute; belongs to the pod alone. */
  readonly folder: string;
  readonly allowHostPath: boolean;
  /** Text of a kubeconfig for a token file. */
  readonly kubeconfig: (access: { readonly tokenFile: string; readonly namespace: string }) => string;
}

export class Volumes {
  readonly #options: VolumesOptions;
  readonly #folders = new Map<string, string>();
  readonly #written = new Map<string, VolumeFiles>();
  readonly #tokens: TokenCache = new Map();
  #closed = false;

  constructor(options: VolumesOptions) {
    this.#options = options;
  }

  /** @throws ConfigError naming the volume. */
  async make(): Promise<void> {
    for (const volume of this.#options.pod.spec.volumes ?? []) {
      try {
        await this.#makeOne(volume);
      } catch (error) {
        const text = error instanceof Error ? error.message : String(error);
        throw new ConfigError(`MountVolume.SetUp failed for volume "${volume.name}" : ${text}`, {
          cause: error,
        });
      }
    }
  }

  /** Brings projected files up to date, and tokens before they expire. Says which volumes failed. */
  async refresh(): Promise<readonly string[]> {
    const failures: string[] = [];
    for (const volume of this.#options.pod.spec.volumes ?? []) {
      if (this.#closed || !projectionsOf(volume)) continue;
      try {
        await this.#makeOne(volume);
      } catch (error) {
        const text = error instanceof Error ? error.message : String(error);
        failures.push(`MountVolume.SetUp failed for volume "${volume.name}" : ${text}`);
      }
    }
    return failures;
  }

  /** Removes everything the pod had written. */
  async clear(): Promise<void> {
    this.#closed = true;
    await rm(this.#options.folder, { recursive: true, force: true, maxRetries: 3 });
  }

  /** Where the container's mounts lie. @throws ConfigError */
  async mountsOf(
    container: Container,
    lookup: (name: string) => string | undefined,
  ): Promise<readonly MountedPath[]> {
    const mounts: MountedPath[] = [];
    for (const mount of container.volumeMounts ?? []) {
      const folder = this.#folders.get(mount.name);
      if (folder === undefined)
        throw new ConfigError(
          `cannot find volume "${mount.name}" to mount into container "${container.name}"`,
        );
      const subPath = subPathOf(mount, lookup);
      const hostPath = subPath === '' ? folder : join(folder, subPath);
      const exists = await stat(hostPath).then(
        () => true,
        () => false,
      );
      if (!exists) await mkdir(hostPath, { recursive: true });
      mounts.push({ mountPath: mount.mountPath, hostPath });
    }
    return mounts;
  }

  /** A kubeconfig that speaks with the container's mounted token; `undefined` where none is mounted. */
  async kubeconfigOf(container: Container): Promise<string | undefined> {
    for (const mount of container.volumeMounts ?? []) {
      const volume = this.#options.pod.spec.volumes?.find(({ name }) => name === mount.name);
      const folder = this.#folders.get(mount.name);
      const token = volume && folder && apiToken(volume);
      if (!token) continue;
      const path = join(this.#options.folder, `${mount.name}.kubeconfig`);
      const { namespace } = this.#options.pod.metadata;
      await writeFile(path, this.#options.kubeconfig({ tokenFile: join(folder, token.path), namespace }), {
        mode: 0o600,
      });
      return path;
    }
    return undefined;
  }

  async #makeOne(volume: Volume): Promise<void> {
    const folder = join(this.#options.folder, 'v', volume.name);
    const projections = projectionsOf(volume);
    if (projections) {
      const files = await volumeFiles(projections.sources, projections.mode, this.#options, this.#tokens);
      if (this.#closed) return;
      if (!sameFiles(this.#written.get(volume.name), files)) await writeFiles(folder, files);
      this.#written.set(volume.name, files);
    } else if (volume.emptyDir) {
      await mkdir(folder, { recursive: true, mode: 0o777 });
    } else if (volume.hostPath) {
      this.#folders.set(volume.name, await this.#hostFolder(volume.hostPath));
      return;
    } else {
      const type = Object.keys(volume).find((key) => key !== 'name') ?? 'unknown';
      throw new ConfigError(`no volume plugin matched: this node has no volumes of type ${type}`);
    }
    this.#folders.set(volume.name, folder);
  }

  async #hostFolder({ path, type = '' }: NonNullable<Volume['hostPath']>): Promise<string> {
    if (!this.#options.allowHostPath) throw new ConfigError('hostPath volumes are not allowed on this node');
    if (type.endsWith('OrCreate')) await mkdir(path, { recursive: true });
    const found = await stat(path).catch(() => undefined);
    if (!found && type !== '') throw new ConfigError(`hostPath type check failed: ${path} is not a ${type}`);
    return path;
  }
}

function subPathOf(mount: VolumeMount, lookup: (name: string) => string | undefined): string {
  const subPath = mount.subPathExpr ? expand(mount.subPathExpr, lookup) : (mount.subPath ?? '');
  if (subPath.startsWith('/') || normalize(subPath).split('/').includes('..')) {
    throw new ConfigError(`failed to prepare subPath for volumeMount "${mount.name}"`);
  }
  return subPath;
}

/** The token for the API server itself, which has no audience of its own. */
function apiToken(volume: Volume): TokenProjection | undefined {
  const tokens = (volume.projected?.sources ?? []).flatMap((source) => source.serviceAccountToken ?? []);
  return tokens.find(({ audience }) => !audience);
}
