/** Jobs and CronJobs. */
import { type FieldError, field } from '../errors.ts';
import {
  type ApiObject,
  asObject,
  asString,
  at,
  child,
  clone,
  equal,
  type JsonObject,
  setDefault,
} from '../json.ts';
import type { Rules } from './kind.ts';
import { defaultTemplate } from './pod-defaults.ts';
import { validatePodSpec } from './pod-validation.ts';

function defaultJobSpec(spec: JsonObject): void {
  if (spec['completions'] === undefined && spec['parallelism'] === undefined) spec['completions'] = 1;
  setDefault(spec, 'parallelism', 1);
  setDefault(spec, 'backoffLimit', 6);
  setDefault(spec, 'completionMode', 'NonIndexed');
  setDefault(spec, 'suspend', false);
  setDefault(spec, 'podReplacementPolicy', spec['podFailurePolicy'] ? 'Failed' : 'TerminatingOrFailed');
  setDefault(spec, 'manualSelector', false);
  defaultTemplate(spec);
}

function validateJob(spec: JsonObject, path: string): FieldError[] {
  const errors = validatePodSpec(asObject(at(spec, 'template', 'spec')), `${path}.template.spec`);
  const policy = asString(at(spec, 'template', 'spec', 'restartPolicy'));
  if (policy === 'Always') {
    errors.push(field.required(`${path}.template.spec.restartPolicy`, 'valid values: "OnFailure", "Never"'));
  }
  for (const key of [
    'parallelism',
    'completions',
    'backoffLimit',
    'activeDeadlineSeconds',
    'ttlSecondsAfterFinished',
  ]) {
    const value = spec[key];
    if (typeof value === 'number' && value < 0) {
      errors.push(field.invalid(`${path}.${key}`, value, 'must be greater than or equal to 0'));
    }
  }
  return errors;
}

export const batchRules: Readonly<Record<string, Rules>> = {
  Job: {
    default: (object) => defaultJobSpec(child(object, 'spec')),
    prepareCreate(object) {
      object['status'] = {};
      const spec = child(object, 'spec');
      if (spec['manualSelector'] === true) return;
      // A job finds its pods by its own uid, so that it never adopts another's.
      const labels = child(child(child(spec, 'template'), 'metadata'), 'labels');
      const uid = asString(object.metadata.uid);
      for (const prefix of ['', 'batch.kubernetes.io/']) {
        labels[`${prefix}controller-uid`] = uid;
        labels[`${prefix}job-name`] = asString(object.metadata.name);
      }
      spec['selector'] = { matchLabels: { 'batch.kubernetes.io/controller-uid': uid } };
      if (Object.keys(object.metadata.labels ?? {}).length === 0) {
        object.metadata.labels = { ...(labels as { [key: string]: string }) };
      }
    },
    validate: (object) => validateJob(asObject(object['spec']), 'spec'),
    validateUpdate(object, old) {
      const errors: FieldError[] = [];
      const [now, before] = [asObject(object['spec']), asObject(old['spec'])];
      const suspended = before['suspend'] === true;
      for (const key of ['completions', 'selector', 'completionMode', 'podFailurePolicy', 'template']) {
        if (equal(now[key], before[key])) continue;
        if (
          (key === 'template' && suspended) ||
          (key === 'completions' && now['completionMode'] === 'Indexed')
        )
          continue;
        errors.push(field.invalid(`spec.${key}`, clone(now[key] ?? null), 'field is immutable'));
      }
      return errors;
    },
  },
  CronJob: {
    default(object: ApiObject) {
      const spec = child(object, 'spec');
      setDefault(spec, 'concurrencyPolicy', 'Allow');
      setDefault(spec, 'suspend', false);
      setDefault(spec, 'successfulJobsHistoryLimit', 3);
      setDefault(spec, 'failedJobsHistoryLimit', 1);
      const job = child(spec, 'jobTemplate');
      child(job, 'metadata');
      defaultTemplate(child(job, 'spec'));
    },
    prepareCreate(object) {
      object['status'] = {};
    },
    validate(object) {
      const spec = asObject(object['spec']);
      const errors: FieldError[] = [];
      const parts = asString(spec['schedule']).trim().split(/\s+/);
      if (!asString(spec['schedule'])) errors.push(field.required('spec.schedule'));
      else if (!/^(@\w+|(\S+\s+){4}\S+)$/.test(asString(spec['schedule']))) {
        errors.push(
          field.invalid(
            'spec.schedule',
            spec['schedule'],
            `expected exactly 5 fields, found ${parts.length}: [${parts.join(' ')}]`,
          ),
        );
      }
      errors.push(...validateJob(asObject(at(spec, 'jobTemplate', 'spec')), 'spec.jobTemplate.spec'));
      return errors;
    },
  },
};
