/** Nothing is created in a namespace that is missing or going; the namespaces the system needs are never deleted. */
import { forbidden, notFound, StatusError } from '../errors.ts';
import { at } from '../json.ts';
import type { AdmissionPlugin } from './admission.ts';

const immortal = new Set(['default', 'kube-system', 'kube-public']);

export const namespaceLifecycle: AdmissionPlugin = {
  validate(call, operation, object) {
    const { kind } = call;
    if (operation === 'DELETE') {
      if (kind.group === '' && kind.kind === 'Namespace' && immortal.has(object.metadata.name ?? '')) {
        throw forbidden(kind, object.metadata.name!, 'this namespace may not be deleted');
      }
      return;
    }
    if (operation !== 'CREATE' || !kind.namespaced) return;
    const name = object.metadata.namespace!;
    const namespace = call.core.store.bucket('/namespaces').get(name);
    if (!namespace) throw notFound({ group: '', resource: 'namespaces' }, name);
    if (!namespace.metadata.deletionTimestamp && at(namespace, 'status', 'phase') !== 'Terminating') return;
    const why = `unable to create new content in namespace ${name} because it is being terminated`;
    const refusal = forbidden(kind, object.metadata.name ?? '', why);
    throw new StatusError(403, 'Forbidden', refusal.message, {
      name: object.metadata.name,
      group: kind.group,
      kind: kind.resource,
      causes: [
        {
          reason: 'NamespaceTerminating',
          message: `namespace ${name} is being terminated`,
          field: 'metadata.namespace',
        },
      ],
    });
  },
};
