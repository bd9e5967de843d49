import type { ModelSpec } from './generated/model.ts';

/**
 * The spec of a Model that nobody wrote, as the API server fills it in. A test holds it against the defaults of
 * `crds/models.sluice.dev.yaml`.
 */
export const defaultModelSpec: ModelSpec = {
  serve: { version: 'latest' },
  rollout: {
    strategy: 'canary',
    steps: [
      { weight: 5, hold: '30s', approval: false },
      { weight: 25, hold: '30s', approval: false },
      { weight: 50, hold: '30s', approval: false },
    ],
    approval: false,
    analysis: { minRequests: 100, maxErrorIncrease: 0.01, onInconclusive: 'proceed' },
    onNewVersion: 'supersede',
    bake: '10m',
  },
  rollback: { unreadyFor: '5s', minReady: '50%', startupDeadline: '10m' },
  retention: { warm: 1, parkAfter: '10m' },
};
