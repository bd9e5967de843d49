import { type Draft, record } from './draft.ts';

/** Says so when an annotation asks for what cannot be done; it is not done later either. */
export function refuseRequests(draft: Draft): void {
  const { state, requests, policy } = draft.input;
  const asked = (['approve', 'promote', 'abort'] as const).filter((name) => requests[name]);
  for (const name of asked) {
    const { candidate } = draft.state;
    const refusal =
      state.candidate === undefined
        ? 'nothing is being rolled out'
        : name === 'promote' &&
            candidate?.version === state.candidate.version &&
            candidate.step <= policy.steps.length
          ? `not every pod of ${candidate.version} is ready`
          : undefined;
    if (refusal === undefined) continue;
    record(draft, { type: 'Warning', reason: 'RequestIgnored', message: `sluice.dev/${name}: ${refusal}` });
  }
}
