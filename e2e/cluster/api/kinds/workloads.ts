/** Deployments, ReplicaSets, StatefulSets, DaemonSets, ReplicationControllers, autoscalers, disruption budgets. */
import { type FieldError, field } from '../errors.ts';
import {
  type ApiObject,
  asObject,
  asObjects,
  asString,
  at,
  child,
  equal,
  isObject,
  type JsonObject,
  setDefault,
} from '../json.ts';
import { labelSelector } from '../store/selectors.ts';
import type { Rules } from './kind.ts';
import { validateLabels } from './names.ts';
import { defaultTemplate } from './pod-defaults.ts';
import { validatePodSpec } from './pod-validation.ts';

function validateReplicas(spec: JsonObject): FieldError[] {
  const replicas = spec['replicas'];
  if (typeof replicas !== 'number' || replicas >= 0) return [];
  return [field.invalid('spec.replicas', replicas, 'must be greater than or equal to 0')];
}

function isEmptySelector(selector: JsonObject): boolean {
  return (
    Object.keys(asObject(selector['matchLabels'])).length === 0 &&
    !(Array.isArray(selector['matchExpressions']) && selector['matchExpressions'].length > 0)
  );
}

/** Selector present, valid and matching the template; the template's pod spec. */
function validateWorkload(object: ApiObject): FieldError[] {
  const spec = asObject(object['spec']);
  const errors = validateReplicas(spec);
  const selector = spec['selector'];
  const labels = at(spec, 'template', 'metadata', 'labels');
  if (!isObject(selector)) {
    errors.push(field.required('spec.selector'));
  } else if (isEmptySelector(selector)) {
    errors.push(
      field.invalid('spec.selector', selector, `empty selector is invalid for ${object.kind.toLowerCase()}`),
    );
  } else {
    errors.push(...validateLabels(selector['matchLabels'], 'spec.selector.matchLabels'));
    if (!labelSelector(selector)(asObject(labels) as { [key: string]: string })) {
      const why = '`selector` does not match template `labels`';
      errors.push(field.invalid('spec.template.metadata.labels', labels ?? null, why));
    }
  }
  errors.push(...validateLabels(labels, 'spec.template.labels'));
  errors.push(...validatePodSpec(asObject(at(spec, 'template', 'spec')), 'spec.template.spec'));
  const policy = asString(at(spec, 'template', 'spec', 'restartPolicy'));
  if (policy && policy !== 'Always') {
    errors.push(field.notSupported('spec.template.spec.restartPolicy', policy, ['Always']));
  }
  return errors;
}

function immutableSelector(object: ApiObject, old: ApiObject): FieldError[] {
  const [now, before] = [at(object, 'spec', 'selector'), at(old, 'spec', 'selector')];
  return equal(now, before) ? [] : [field.invalid('spec.selector', now ?? null, 'field is immutable')];
}

/** Percentages and counts, as `maxSurge` and `maxUnavailable` take them. */
function amount(value: unknown): number | undefined {
  if (typeof value === 'number') return Number.isInteger(value) && value >= 0 ? value : undefined;
  const match = typeof value === 'string' ? /^(\d+)%$/.exec(value) : null;
  return match ? Number(match[1]) : undefined;
}

function validateStrategy(object: ApiObject): FieldError[] {
  const strategy = asObject(at(object, 'spec', 'strategy'));
  const type = asString(strategy['type']);
  if (type === 'Recreate') {
    if (!isObject(strategy['rollingUpdate'])) return [];
    const why = "may not be specified when strategy `type` is 'Recreate'";
    return [field.forbidden('spec.strategy.rollingUpdate', why)];
  }
  if (type !== 'RollingUpdate') {
    return [field.notSupported('spec.strategy.type', type, ['Recreate', 'RollingUpdate'])];
  }
  const errors: FieldError[] = [];
  const rolling = asObject(strategy['rollingUpdate']);
  for (const key of ['maxSurge', 'maxUnavailable']) {
    if (amount(rolling[key]) === undefined) {
      const why =
        typeof rolling[key] === 'number'
          ? 'must be greater than or equal to 0'
          : "a valid percent string must be a numeric string followed by an ending '%' (e.g. '1%',  or '93%', regex used for validation is '[0-9]+%')";
      errors.push(field.invalid(`spec.strategy.rollingUpdate.${key}`, rolling[key] ?? null, why));
    }
  }
  if (amount(rolling['maxSurge']) === 0 && amount(rolling['maxUnavailable']) === 0) {
    const why = 'may not be 0 when `maxSurge` is 0';
    errors.push(
      field.invalid('spec.strategy.rollingUpdate.maxUnavailable', rolling['maxUnavailable'] ?? 0, why),
    );
  }
  return errors;
}

function validateDeadline(object: ApiObject): FieldError[] {
  const spec = asObject(object['spec']);
  const deadline = spec['progressDeadlineSeconds'];
  const minReady = spec['minReadySeconds'] ?? 0;
  if (typeof deadline === 'number' && typeof minReady === 'number' && deadline <= minReady) {
    return [field.invalid('spec.progressDeadlineSeconds', deadline, 'must be greater than minReadySeconds')];
  }
  return [];
}

/** Drops a status that a client sent with the spec. */
function emptyStatus(status: JsonObject): (object: ApiObject) => void {
  return (object) => {
    object['status'] = { ...status };
  };
}

/** DaemonSets still carry the count of their templates, from the time before controller revisions. */
const templateGeneration = 'deprecated.daemonset.template.generation';

function countTemplates(object: ApiObject, count: number): void {
  object.metadata.annotations = { ...object.metadata.annotations, [templateGeneration]: String(count) };
}

const replicated: Pick<Rules, 'validate' | 'validateUpdate' | 'prepareCreate'> = {
  validate: validateWorkload,
  validateUpdate: immutableSelector,
  prepareCreate: emptyStatus({ replicas: 0 }),
};

export const workloadRules: Readonly<Record<string, Rules>> = {
  Deployment: {
    default(object) {
      const spec = child(object, 'spec');
      setDefault(spec, 'replicas', 1);
      const strategy = child(spec, 'strategy');
      setDefault(strategy, 'type', 'RollingUpdate');
      if (strategy['type'] === 'RollingUpdate') {
        const rolling = child(strategy, 'rollingUpdate');
        setDefault(rolling, 'maxUnavailable', '25%');
        setDefault(rolling, 'maxSurge', '25%');
      }
      setDefault(spec, 'revisionHistoryLimit', 10);
      setDefault(spec, 'progressDeadlineSeconds', 600);
      defaultTemplate(spec);
    },
    prepareCreate: emptyStatus({}),
    validate: (object) => [
      ...validateWorkload(object),
      ...validateStrategy(object),
      ...validateDeadline(object),
    ],
    validateUpdate: immutableSelector,
  },
  ReplicaSet: {
    ...replicated,
    default(object) {
      const spec = child(object, 'spec');
      setDefault(spec, 'replicas', 1);
      defaultTemplate(spec);
    },
  },
  StatefulSet: {
    default(object) {
      const spec = child(object, 'spec');
      setDefault(spec, 'podManagementPolicy', 'OrderedReady');
      const strategy = child(spec, 'updateStrategy');
      setDefault(strategy, 'type', 'RollingUpdate');
      if (strategy['type'] === 'RollingUpdate') setDefault(child(strategy, 'rollingUpdate'), 'partition', 0);
      const retention = child(spec, 'persistentVolumeClaimRetentionPolicy');
      setDefault(retention, 'whenDeleted', 'Retain');
      setDefault(retention, 'whenScaled', 'Retain');
      setDefault(spec, 'replicas', 1);
      setDefault(spec, 'revisionHistoryLimit', 10);
      for (const claim of asObjects(spec['volumeClaimTemplates'])) {
        setDefault(claim, 'apiVersion', 'v1');
        setDefault(claim, 'kind', 'PersistentVolumeClaim');
        setDefault(child(claim, 'spec'), 'volumeMode', 'Filesystem');
        setDefault(claim, 'status', { phase: 'Pending' });
      }
      defaultTemplate(spec);
    },
    prepareCreate: emptyStatus({ replicas: 0, availableReplicas: 0 }),
    validate: validateWorkload,
    validateUpdate(object, old) {
      const mutable = new Set([
        'replicas',
        'ordinals',
        'template',
        'updateStrategy',
        'revisionHistoryLimit',
        'persistentVolumeClaimRetentionPolicy',
        'minReadySeconds',
      ]);
      const [now, before] = [asObject(object['spec']), asObject(old['spec'])];
      const changed = Object.keys({ ...now, ...before }).some(
        (key) => !mutable.has(key) && !equal(now[key], before[key]),
      );
      if (!changed) return [];
      const why =
        "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', 'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden";
      return [field.forbidden('spec', why)];
    },
  },
  DaemonSet: {
    default(object) {
      const spec = child(object, 'spec');
      const strategy = child(spec, 'updateStrategy');
      setDefault(strategy, 'type', 'RollingUpdate');
      if (strategy['type'] === 'RollingUpdate') {
        const rolling = child(strategy, 'rollingUpdate');
        setDefault(rolling, 'maxUnavailable', 1);
        setDefault(rolling, 'maxSurge', 0);
      }
      setDefault(spec, 'revisionHistoryLimit', 10);
      defaultTemplate(spec);
    },
    prepareCreate(object) {
      object['status'] = {
        currentNumberScheduled: 0,
        numberMisscheduled: 0,
        desiredNumberScheduled: 0,
        numberReady: 0,
      };
      countTemplates(object, 1);
    },
    prepareUpdate(object, old) {
      const before = Number(old.metadata.annotations?.[templateGeneration] ?? 1);
      const changed = !equal(at(object, 'spec', 'template'), at(old, 'spec', 'template'));
      countTemplates(object, changed ? before + 1 : before);
    },
    validate: validateWorkload,
    validateUpdate: immutableSelector,
  },
  ReplicationController: {
    default(object) {
      const spec = child(object, 'spec');
      setDefault(spec, 'replicas', 1);
      defaultTemplate(spec);
      const labels = at(spec, 'template', 'metadata', 'labels');
      if (!isObject(labels)) return;
      setDefault(spec, 'selector', { ...labels });
      setDefault(object.metadata, 'labels', { ...labels });
    },
    prepareCreate: emptyStatus({ replicas: 0 }),
  },
  HorizontalPodAutoscaler: {
    default(object) {
      const spec = child(object, 'spec');
      setDefault(spec, 'minReplicas', 1);
      const target = { type: 'Utilization', averageUtilization: 80 };
      setDefault(spec, 'metrics', [{ type: 'Resource', resource: { name: 'cpu', target } }]);
    },
    prepareCreate: emptyStatus({ currentMetrics: null, desiredReplicas: 0 }),
    validate(object) {
      const spec = asObject(object['spec']);
      const [least, most] = [spec['minReplicas'], spec['maxReplicas']];
      if (typeof most !== 'number' || most < 1) {
        return [field.invalid('spec.maxReplicas', most ?? 0, 'must be greater than 0')];
      }
      if (typeof least === 'number' && least > most) {
        return [field.invalid('spec.maxReplicas', most, 'must be greater than or equal to `minReplicas`')];
      }
      return [];
    },
  },
  PodDisruptionBudget: {
    prepareCreate: emptyStatus({
      disruptionsAllowed: 0,
      currentHealthy: 0,
      desiredHealthy: 0,
      expectedPods: 0,
    }),
    validate(object) {
      const spec = asObject(object['spec']);
      if (spec['minAvailable'] !== undefined && spec['maxUnavailable'] !== undefined) {
        const why = 'minAvailable and maxUnavailable cannot be both set';
        return [field.invalid('spec', spec, why)];
      }
      return [];
    },
  },
};
