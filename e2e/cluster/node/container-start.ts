/** From a container as its pod describes it to what is run: image, environment, paths. */
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { NodeContext } from './context.ts';
import { deviceEnvironment } from './devices.ts';
import type { Place } from './downward.ts';
import { ConfigError, containerEnvironment, type Lookups } from './environment.ts';
import { argumentToHost, expand, type MountedPath, toHost } from './expansion.ts';
import { findImage, type Image, repositoryOf } from './images.ts';
import type { Container, Pod } from './pod.ts';
import { podTitle } from './pod.ts';
import type { Volumes } from './volumes.ts';

export interface Surroundings {
  readonly pod: Pod;
  readonly node: NodeContext;
  readonly place: Place;
  readonly lookups: Lookups;
  readonly volumes: Volumes;
  readonly devices: ReadonlyMap<string, readonly string[]> | undefined;
  /** Folder of the container; made when absent. */
  readonly folder: string;
  readonly run: number;
}

export interface Prepared {
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  readonly cwd: string;
  readonly mounts: readonly MountedPath[];
  readonly terminationFile: string;
}

/** An image that cannot be had. `reason` is the waiting reason. */
export class PullError extends Error {
  override readonly name = 'PullError';
  readonly reason: 'ErrImagePull' | 'ErrImageNeverPull' | 'InvalidImageName';

  constructor(reason: PullError['reason'], message: string) {
    super(message);
    this.reason = reason;
  }
}

/** @throws PullError */
export function resolveImage(node: NodeContext, container: Container): Image {
  const reference = container.image ?? '';
  if (repositoryOf(reference) === undefined) {
    const message = `Failed to apply default image tag "${reference}": couldn't parse image name "${reference}": invalid reference format${
      /[A-Z]/.test(reference.replace(/[:@][^/]*$/, '')) ? ': repository name must be lowercase' : ''
    }`;
    throw new PullError('InvalidImageName', message);
  }
  const image = findImage(node.images, reference);
  if (image) return image;
  if (container.imagePullPolicy === 'Never') {
    const message = `Container image "${reference}" is not present with pull policy of Never`;
    throw new PullError('ErrImageNeverPull', message);
  }
  const text = `failed to pull and unpack image "${reference}": failed to resolve reference "${reference}": ${reference}: not found`;
  throw new PullError('ErrImagePull', text);
}

/** @throws ConfigError */
export async function prepare(container: Container, image: Image, around: Surroundings): Promise<Prepared> {
  const { pod, node, place, lookups, volumes, folder, run } = around;
  assertUser(pod, container, image);
  const described: Record<string, string> = {
    ...(await containerEnvironment(pod, container, place, lookups, node.services())),
    ...deviceEnvironment(around.devices),
  };
  const containerEnv: Record<string, string> = { ...image.env, ...described };
  const lookup = (name: string) => containerEnv[name];
  const root = join(folder, 'root');
  const tmp = join(folder, 'tmp');
  await mkdir(root, { recursive: true });
  await mkdir(tmp, { recursive: true });
  const terminationFile = join(folder, `termination-${run}`);
  await writeFile(terminationFile, '');
  const terminationPath = container.terminationMessagePath || '/dev/termination-log';
  const mounts = [
    ...(await volumes.mountsOf(container, lookup)),
    { mountPath: terminationPath, hostPath: terminationFile },
  ];
  const kubeconfig = await volumes.kubeconfigOf(container);
  const base = {
    PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin',
    HOME: root,
    LANG: 'C.UTF-8',
    HOSTNAME: pod.spec.hostname ?? pod.metadata.name,
    TMPDIR: mounts.find(({ mountPath }) => mountPath === '/tmp')?.hostPath ?? tmp,
    SLUICE_BIND_ADDRESS: place.podAddress,
    SLUICE_TERMINATION_LOG: terminationFile,
    ...(kubeconfig ? { KUBECONFIG: kubeconfig } : {}),
  };
  // What we and the image say is the machine's already, and may well lie below something that is mounted, such as /tmp.
  const env: Record<string, string> = { ...base, ...image.env };
  for (const [name, value] of Object.entries(described)) env[name] = toHost(value, mounts);
  // With a command of its own a container does not get the image's arguments either.
  const args = container.args?.length ? container.args : container.command?.length ? [] : (image.args ?? []);
  const inContainer = (part: string) => argumentToHost(expand(part, lookup), mounts);
  const workingDir = container.workingDir || image.workingDir;
  return {
    command: [
      ...(container.command?.length ? container.command.map(inContainer) : image.entrypoint),
      ...args.map(inContainer),
    ],
    env,
    cwd: workingDir ? toHost(expand(workingDir, lookup), mounts) : root,
    mounts,
    terminationFile,
  };
}

/** The checks of a kubelet that do not need a container to be enforced. */
function assertUser(pod: Pod, container: Container, image: Image): void {
  const nonRoot = container.securityContext?.runAsNonRoot ?? pod.spec.securityContext?.runAsNonRoot;
  if (!nonRoot) return;
  const user = container.securityContext?.runAsUser ?? pod.spec.securityContext?.runAsUser;
  const which = `(pod: "${podTitle(pod)}", container: ${container.name})`;
  if (user === 0) throw new ConfigError(`container's runAsUser breaks non-root policy ${which}`);
  if (user === undefined && !image.user) {
    throw new ConfigError(`container has runAsNonRoot and image will run as root ${which}`);
  }
}
