/** Volumes, claims and storage classes. */
import { field } from '../errors.ts';
import { asList, asObject, at, child, clone, equal, setDefault } from '../json.ts';
import type { Rules } from './kind.ts';

export const storageRules: Readonly<Record<string, Rules>> = {
  PersistentVolumeClaim: {
    default: (object) => setDefault(child(object, 'spec'), 'volumeMode', 'Filesystem'),
    prepareCreate(object) {
      object['status'] = { phase: 'Pending' };
    },
    validate(object) {
      const spec = asObject(object['spec']);
      const errors = [];
      if (asList(spec['accessModes']).length === 0) {
        errors.push(field.required('spec.accessModes', 'at least 1 access mode is required'));
      }
      if (at(spec, 'resources', 'requests', 'storage') === undefined) {
        errors.push(field.required('spec.resources[storage]'));
      }
      return errors;
    },
    validateUpdate(object, old) {
      const [now, before] = [clone(asObject(object['spec'])), clone(asObject(old['spec']))];
      for (const spec of [now, before]) {
        delete spec['resources'];
        delete spec['volumeAttributesClassName'];
      }
      if (!before['volumeName']) {
        delete now['volumeName'];
        delete before['volumeName'];
      }
      if (equal(now, before)) return [];
      const why =
        'spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims';
      return [field.forbidden('spec', why)];
    },
  },
  PersistentVolume: {
    default(object) {
      const spec = child(object, 'spec');
      setDefault(spec, 'persistentVolumeReclaimPolicy', 'Retain');
      setDefault(spec, 'volumeMode', 'Filesystem');
    },
    prepareCreate(object) {
      object['status'] = { phase: 'Pending' };
    },
  },
  StorageClass: {
    default(object) {
      setDefault(object, 'reclaimPolicy', 'Delete');
      setDefault(object, 'volumeBindingMode', 'Immediate');
    },
  },
};
