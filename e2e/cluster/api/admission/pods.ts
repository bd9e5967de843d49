/** What admission does to pods: service account and its token, priority, tolerations, runtime class overhead. */
import { randomInt } from 'node:crypto';
import { forbidden, StatusError } from '../errors.ts';
import {
  type ApiObject,
  asList,
  asObject,
  asObjects,
  asString,
  at,
  child,
  type JsonObject,
  setDefault,
} from '../json.ts';
import type { Call } from '../resource/call.ts';
import type { AdmissionPlugin } from './admission.ts';

const tokenPath = '/var/run/secrets/kubernetes.io/serviceaccount';
const letters = 'bcdfghjklmnpqrstvwxz2456789';

function isPod(call: Call): boolean {
  return call.kind.group === '' && call.kind.kind === 'Pod' && call.subresource === '';
}

function isMirror(object: ApiObject): boolean {
  return object.metadata.annotations?.['kubernetes.io/config.mirror'] !== undefined;
}

/** The volume that gives a pod its token, the cluster's CA and its namespace. */
function tokenVolume(name: string): JsonObject {
  return {
    name,
    projected: {
      sources: [
        { serviceAccountToken: { expirationSeconds: 3607, path: 'token' } },
        { configMap: { name: 'kube-root-ca.crt', items: [{ key: 'ca.crt', path: 'ca.crt' }] } },
        {
          downwardAPI: {
            items: [{ path: 'namespace', fieldRef: { apiVersion: 'v1', fieldPath: 'metadata.namespace' } }],
          },
        },
      ],
      defaultMode: 0o644,
    },
  };
}

function mountToken(spec: JsonObject): void {
  const volumes = asObjects(spec['volumes']);
  const existing = volumes.find(
    (volume) =>
      asObjects(at(volume, 'projected', 'sources')).some(
        (source) => source['serviceAccountToken'] !== undefined,
      ) && asString(volume['name']).startsWith('kube-api-access-'),
  );
  let name = asString(existing?.['name']);
  if (!name) {
    name = 'kube-api-access-';
    for (let index = 0; index < 5; index += 1) name += letters[randomInt(letters.length)];
  }
  let used = false;
  for (const key of ['initContainers', 'containers']) {
    for (const container of asObjects(spec[key])) {
      const mounts = asObjects(container['volumeMounts']);
      if (mounts.some((mount) => mount['mountPath'] === tokenPath)) continue;
      container['volumeMounts'] = [...mounts, { name, readOnly: true, mountPath: tokenPath }];
      used = true;
    }
  }
  if (used && !existing) spec['volumes'] = [...volumes, tokenVolume(name)];
}

export const serviceAccounts: AdmissionPlugin = {
  mutate(call, operation, object) {
    if (operation !== 'CREATE' || !isPod(call) || isMirror(object)) return;
    const spec = child(object, 'spec');
    if (!asString(spec['serviceAccountName'])) spec['serviceAccountName'] = 'default';
    spec['serviceAccount'] = spec['serviceAccountName'];
    const name = asString(spec['serviceAccountName']);
    const account = call.core.store.bucket('/serviceaccounts').get(`${call.namespace}/${name}`);
    if (!account) {
      const subject = object.metadata.name ?? '';
      const why = `error looking up service account ${call.namespace}/${name}: serviceaccount "${name}" not found`;
      throw forbidden(call.kind, subject, why);
    }
    const automount = spec['automountServiceAccountToken'] ?? account['automountServiceAccountToken'];
    if (automount !== false) mountToken(spec);
    if (asList(spec['imagePullSecrets']).length === 0 && asList(account['imagePullSecrets']).length > 0) {
      spec['imagePullSecrets'] = asList(account['imagePullSecrets']);
    }
  },
};

export const priorities: AdmissionPlugin = {
  mutate(call, operation, object) {
    if (operation !== 'CREATE' || !isPod(call)) return;
    const spec = child(object, 'spec');
    const classes = call.core.store.bucket('scheduling.k8s.io/priorityclasses');
    let name = asString(spec['priorityClassName']);
    let found = name ? classes.get(name) : undefined;
    if (name && !found) {
      throw forbidden(call.kind, object.metadata.name ?? '', `no PriorityClass with name ${name} was found`);
    }
    found ??= [...classes.items.values()].find((each) => each['globalDefault'] === true);
    name = found?.metadata.name ?? '';
    const value = typeof found?.['value'] === 'number' ? found['value'] : 0;
    if (typeof spec['priority'] === 'number' && spec['priority'] !== value) {
      const why = `the integer value of priority (${spec['priority']}) must not be provided in pod spec; priority admission controller computed ${value} from the given PriorityClass name`;
      throw forbidden(call.kind, object.metadata.name ?? '', why);
    }
    if (name) spec['priorityClassName'] = name;
    spec['priority'] = value;
    setDefault(spec, 'preemptionPolicy', asString(found?.['preemptionPolicy']) || 'PreemptLowerPriority');
  },
};

const leaving = ['node.kubernetes.io/not-ready', 'node.kubernetes.io/unreachable'];

/** Pods stay on a node that is lost for five minutes, unless they say otherwise. */
export const defaultTolerations: AdmissionPlugin = {
  mutate(call, operation, object) {
    if (operation !== 'CREATE' || !isPod(call)) return;
    const spec = child(object, 'spec');
    const tolerations = asObjects(spec['tolerations']);
    const missing = leaving.filter(
      (key) =>
        !tolerations.some(
          (each) =>
            (each['key'] === key || !each['key']) && (each['effect'] === 'NoExecute' || !each['effect']),
        ),
    );
    const added = missing.map((key) => ({
      key,
      operator: 'Exists',
      effect: 'NoExecute',
      tolerationSeconds: 300,
    }));
    if (added.length > 0) spec['tolerations'] = [...tolerations, ...added];
  },
};

export const runtimeClasses: AdmissionPlugin = {
  mutate(call, operation, object) {
    if (operation !== 'CREATE' || !isPod(call)) return;
    const spec = child(object, 'spec');
    const name = asString(spec['runtimeClassName']);
    if (!name) return;
    const found = call.core.store.bucket('node.k8s.io/runtimeclasses').get(name);
    if (!found) {
      const why = `pod rejected: RuntimeClass "${name}" not found`;
      throw forbidden(call.kind, object.metadata.name ?? '', why);
    }
    const overhead = at(found, 'overhead', 'podFixed');
    if (overhead !== undefined) spec['overhead'] = overhead;
    const selector = asObject(at(found, 'scheduling', 'nodeSelector'));
    if (Object.keys(selector).length > 0) {
      const present = asObject(spec['nodeSelector']);
      for (const [key, value] of Object.entries(selector)) {
        if (present[key] !== undefined && present[key] !== value) {
          const why = `conflict: runtimeClass.scheduling.nodeSelector[${key}] = ${value}; pod.spec.nodeSelector[${key}] = ${present[key]}`;
          throw new StatusError(403, 'Forbidden', why);
        }
      }
      spec['nodeSelector'] = { ...present, ...selector };
    }
    const tolerations = asObjects(at(found, 'scheduling', 'tolerations'));
    if (tolerations.length > 0) spec['tolerations'] = [...asObjects(spec['tolerations']), ...tolerations];
  },
};
