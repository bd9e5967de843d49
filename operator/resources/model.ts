import type { DesiredObject } from '../api/kubernetes.ts';
import { implicitLabel } from '../api/labels.ts';
import { managedBy } from './metadata.ts';

/** The Model of versions whose model nobody wrote; the API server fills in the defaults. */
export const implicitModel = (namespace: string, name: string): DesiredObject => ({
  apiVersion: 'sluice.dev/v1alpha1',
  kind: 'Model',
  metadata: { name, namespace, labels: { ...managedBy, [implicitLabel]: 'true' } },
  spec: {},
});
