/** Annotations that people, `kubectl sluice` and Argo CD actions set. */

/**
 * On a Model. `paused` holds while it is `"true"`. The others ask for something once: each new value is acted on one
 * time and remembered in `status.handled`, so the operator need not touch what Git owns. A time stamp will do.
 */
export const modelAnnotations = {
  paused: 'sluice.dev/paused',
  approve: 'sluice.dev/approve',
  promote: 'sluice.dev/promote',
  abort: 'sluice.dev/abort',
} as const;

/** On a ModelVersion that failed: a new value gives its content another try. */
export const retryAnnotation = 'sluice.dev/retry';

/** On a route of the Gateway API: the generation of the Model's shares that it was written with, decimal. */
export const trafficAnnotation = 'sluice.dev/traffic-generation';
