/** `$(NAME)` in env values, commands and arguments. Pure. */

/** Known names are replaced, unknown references stay as they are, and `$$` stands for a dollar sign. */
export function expand(text: string, lookup: (name: string) => string | undefined): string {
  return text.replaceAll(/\$(\$|\(([^)]*)\))/g, (whole, inner: string, name: string | undefined) => {
    if (inner === '$') return '$';
    return lookup(name ?? '') ?? whole;
  });
}

export interface MountedPath {
  /** Path inside the container. */
  readonly mountPath: string;
  readonly hostPath: string;
}

/**
 * Where a path of the container really lies. Only a value that is a mount path, or lies under one, is changed;
 * of nested mounts the deepest counts.
 */
export function toHost(value: string, mounts: readonly MountedPath[]): string {
  let best: { readonly mountPath: string; readonly hostPath: string } | undefined;
  for (const mount of mounts) {
    const mountPath = mount.mountPath.replace(/\/+$/, '');
    if (mountPath === '' || (best && best.mountPath.length >= mountPath.length)) continue;
    if (value === mountPath || value.startsWith(`${mountPath}/`)) best = { ...mount, mountPath };
  }
  return best ? best.hostPath + value.slice(best.mountPath.length) : value;
}

/** Like `toHost`, also for the path in an argument of the form `--flag=path`. */
export function argumentToHost(argument: string, mounts: readonly MountedPath[]): string {
  const match = /^(--?[^=/\s]+=)(\/.*)$/s.exec(argument);
  return match ? `${match[1]}${toHost(match[2] ?? '', mounts)}` : toHost(argument, mounts);
}
