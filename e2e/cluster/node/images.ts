/** What stands for container images here: a command per repository name. */
import { fileURLToPath } from 'node:url';
import { nodeFlags } from '#contract';

/** Paths in an image are the machine's own. */
export interface Image {
  /** What the image's ENTRYPOINT would be; `command` of a container replaces it. */
  readonly entrypoint: readonly string[];
  /** What the image's CMD would be; `args` of a container replace it. */
  readonly args?: readonly string[];
  readonly env?: Readonly<Record<string, string>>;
  readonly workingDir?: string;
  /** User ID the image would run as; absent means root. */
  readonly user?: number;
}

/** Repository name without registry, tag and digest, to image. */
export type Images = Readonly<Record<string, Image>>;

const repository = fileURLToPath(new URL('../../..', import.meta.url));

/** The images that this repository builds. `fileRoot` is the folder that `file:` artifacts lie in. */
export function sluiceImages(options: { readonly fileRoot?: string } = {}): Images {
  const env = { NODE_ENV: 'production' };
  return {
    'sluice/operator': {
      entrypoint: [process.execPath, '--max-semi-space-size=8', `${repository}operator/main.ts`],
      env,
      user: 65532,
    },
    'sluice/runtime': {
      entrypoint: [process.execPath, ...nodeFlags, `${repository}runtime-image/main.ts`],
      env: { ...env, ...(options.fileRoot ? { SLUICE_FILE_ROOT: options.fileRoot } : {}) },
      user: 65532,
    },
  };
}

/** The repository's last two parts (or one, when it has no folder): `ghcr.io/acme/sluice/runtime:1.0@sha256:…` → `sluice/runtime`. */
export function findImage(images: Images, reference: string): Image | undefined {
  const name = repositoryOf(reference);
  if (name === undefined) return undefined;
  const parts = name.split('/');
  for (let from = 0; from < parts.length; from++) {
    const image = images[parts.slice(from).join('/')];
    if (image) return image;
  }
  return undefined;
}

/** The name without tag and digest, or `undefined` when the reference is malformed. */
export function repositoryOf(reference: string): string | undefined {
  const match =
    /^((?:[a-zA-Z0-9.-]+(?::\d+)?\/)?[a-z0-9]+(?:[._/-]+[a-z0-9]+)*)(?::[\w][\w.-]{0,127})?(?:@[a-z0-9]+:[a-f0-9]{32,})?$/.exec(
      reference,
    );
  return match?.[1];
}
