/** What the event loop and an inference worker say to each other. */
import type { Datatype } from '../protocol/datatypes.ts';
import type { ModelSpec } from '../protocol/tensor.ts';

export interface WorkerOptions {
  readonly modelPath: string;
  /** Intra-op threads of the session. */
  readonly threads: number;
  readonly provider: Provider;
  /** Index of the GPU, of those that the pod has. */
  readonly device: number;
}

/** Execution providers of ONNX Runtime. */
export const providers = ['cpu', 'cuda', 'tensorrt', 'webgpu'] as const;
export type Provider = (typeof providers)[number];

/**
 * Workers that a process can have. WebGPU has one device for the whole process, and two threads that use it end that (ONNX Runtime 1.30, on an
 * H100 as on a software device).
 */
export const mostWorkers = (provider: Provider): number => (provider === 'webgpu' ? 1 : 256);

/** An input inside the message's buffer, or as text. */
export type PackedTensor =
  | {
      readonly name: string;
      readonly datatype: Datatype;
      readonly shape: readonly number[];
      readonly offset: number;
      readonly bytes: number;
    }
  | {
      readonly name: string;
      readonly datatype: 'BYTES';
      readonly shape: readonly number[];
      readonly text: readonly string[];
    };

export interface RunMessage {
  readonly id: number;
  readonly buffer: ArrayBuffer;
  readonly inputs: readonly PackedTensor[];
  readonly outputs: readonly string[];
}

export interface OutputTensor {
  readonly name: string;
  readonly datatype: Datatype;
  readonly shape: readonly number[];
  /** Text of BYTES; else the elements. */
  readonly data: Uint8Array<ArrayBuffer> | readonly string[];
}

export interface LoadReport {
  readonly spec: ModelSpec;
  /** The provider that runs the model, which is `cpu` where the wanted one could not be loaded. */
  readonly provider: Provider;
  /** Things a person should know: a fallback, outputs left out, a warm-up that no shape satisfied. */
  readonly notes: readonly string[];
  readonly loadMs: number;
  /** Undefined when no synthetic input satisfied the model. */
  readonly warmUpMs: number | undefined;
}

export type FromWorker =
  | ({ readonly kind: 'ready' } & LoadReport)
  /** The model cannot be loaded; trying again would not help. */
  | { readonly kind: 'refused'; readonly message: string }
  | {
      readonly kind: 'done';
      readonly id: number;
      readonly outputs: readonly OutputTensor[];
      /** That the run came in. An output may be a view of it. */
      readonly buffer: ArrayBuffer;
      readonly computeMs: number;
    }
  | {
      readonly kind: 'failed';
      readonly id: number;
      readonly message: string;
      /** Whether the inputs are to blame: the model has run before, with others. */
      readonly blameInputs: boolean;
      readonly buffer: ArrayBuffer;
      readonly computeMs: number;
    };
