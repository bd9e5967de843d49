import { endpointPorts, servicePorts, targetConcurrencyLabel } from '#contract';
import type { Model } from '../api/generated/model.ts';
import type { ModelVersion } from '../api/generated/model-version.ts';
import type { DesiredObject } from '../api/kubernetes.ts';
import { controlledBy, managedBy, versionLabels, versionSelector } from './metadata.ts';
import { versionChildName } from './names.ts';
import { routerSelector } from './router.ts';

/** The headless Service of a version: its EndpointSlices, which have its labels, tell routers which pods there are. */
export function versionService(version: ModelVersion): DesiredObject {
  const { metadata, spec } = version;
  const target = spec.scaling?.targetConcurrency;
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name: versionChildName(metadata.name),
      namespace: metadata.namespace!,
      labels: {
        ...versionLabels(version),
        ...(target === undefined ? {} : { [targetConcurrencyLabel]: String(target) }),
      },
      ownerReferences: controlledBy(version),
    },
    spec: {
      type: 'ClusterIP',
      clusterIP: 'None',
      selector: versionSelector(version),
      ports: [
        { name: endpointPorts.http, port: spec.server.ports.http, targetPort: 'http', protocol: 'TCP' },
        {
          name: endpointPorts.grpc,
          port: spec.server.ports.grpc,
          targetPort: 'grpc',
          protocol: 'TCP',
          appProtocol: 'kubernetes.io/h2c',
        },
      ],
    },
  };
}

/** The Service that clients of a model call: it leads to the routers, to the port that is this model's there. */
export function modelService(model: Model, port: number): DesiredObject {
  const { metadata } = model;
  return {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: {
      name: metadata.name,
      namespace: metadata.namespace!,
      labels: { ...managedBy, 'app.kubernetes.io/name': metadata.name, [modelServiceLabel]: metadata.name },
      ownerReferences: controlledBy(model),
    },
    spec: {
      type: 'ClusterIP',
      selector: routerSelector,
      ports: [
        { name: 'http', port: servicePorts.http, targetPort: port, protocol: 'TCP', appProtocol: 'http' },
        {
          name: 'grpc',
          port: servicePorts.grpc,
          targetPort: port,
          protocol: 'TCP',
          appProtocol: 'kubernetes.io/h2c',
        },
      ],
    },
  };
}

/**
 * Marks a model's Service. It is not `sluice.dev/model`, by which routers find the pods of versions: a router must
 * not take itself for one.
 */
export const modelServiceLabel = 'sluice.dev/service-of';
