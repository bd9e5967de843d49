/** What the protocol's metadata, index and statistics calls answer; REST and gRPC say the same, field by field. */
import { platform, type ServedModel } from './model.ts';
import type { TensorSpec } from './protocol/tensor.ts';
import type { Statistics, Total } from './statistics.ts';

export const serverName = 'sluice';
export const serverVersion = '0.1.0';
export const extensions = ['binary_tensor_data', 'model_repository', 'statistics'] as const;

export function serverMetadata() {
  return { name: serverName, version: serverVersion, extensions: [...extensions] };
}

/** @throws InferenceError Unavailable while the model is loading */
export function modelMetadata(model: ServedModel) {
  const tensor = ({ name, datatype, shape }: TensorSpec) => ({ name, datatype, shape: [...shape] });
  return {
    name: model.name,
    versions: [model.version],
    platform,
    inputs: model.spec.inputs.map(tensor),
    outputs: model.spec.outputs.map(tensor),
    properties: { execution_provider: model.provider },
  };
}

export function repositoryIndex(model: ServedModel, onlyReady: boolean) {
  const state = model.ready ? 'READY' : 'UNAVAILABLE';
  const entry = { name: model.name, version: model.version, state, reason: model.notReadyBecause ?? '' };
  return onlyReady && !model.ready ? [] : [entry];
}

/** Models are loaded and unloaded by the operator, as pods: this server has one for its whole life. */
export const fixedRepository =
  'this server has one model for its whole life; versions come and go as ModelVersion objects';

export function modelStatistics(model: ServedModel) {
  const statistics: Statistics = model.statistics;
  const none = duration({ count: 0, ms: 0 });
  return {
    name: model.name,
    version: model.version,
    last_inference: statistics.lastInferenceAt,
    inference_count: statistics.inferences,
    execution_count: statistics.executions,
    inference_stats: {
      success: duration(statistics.success),
      fail: duration(statistics.fail),
      queue: duration(statistics.queue),
      compute_input: none,
      compute_infer: duration(statistics.compute),
      compute_output: none,
    },
    batch_stats: [...statistics.batches]
      .sort(([a], [b]) => a - b)
      .map(([batch_size, total]) => ({
        batch_size,
        compute_input: none,
        compute_infer: duration(total),
        compute_output: none,
      })),
  };
}

function duration(total: Total) {
  return { count: total.count, ns: Math.round(total.ms * 1e6) };
}
