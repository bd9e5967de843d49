import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';

/** Real Kubernetes programs, absolute paths. */
export interface Binaries {
  readonly etcd: string;
  readonly apiServer: string;
  /** Absent: our controllers stand in. */
  readonly controllerManager: string | undefined;
  /** Absent: our scheduler stands in. */
  readonly scheduler: string | undefined;
}

/** Finds them in a folder laid out as `KUBEBUILDER_ASSETS`. Throws when one that must be there isn't. */
export function findBinaries(folder: string): Binaries {
  const find = (name: string): string | undefined => {
    const path = join(folder, name);
    try {
      accessSync(path, constants.X_OK);
      return path;
    } catch {
      return undefined;
    }
  };
  const need = (name: string): string => {
    const path = find(name);
    if (path === undefined) throw new Error(`KUBEBUILDER_ASSETS (${folder}) holds no executable ${name}`);
    return path;
  };
  return {
    etcd: need('etcd'),
    apiServer: need('kube-apiserver'),
    controllerManager: find('kube-controller-manager'),
    scheduler: find('kube-scheduler'),
  };
}
