/** The messages of inference.proto that carry tensors, as objects. 64-bit integers of parameters are decimal text. */

export interface Parameter {
  readonly parameter_choice?: string;
  readonly bool_param?: boolean;
  readonly int64_param?: string;
  readonly string_param?: string;
  readonly double_param?: number;
  readonly uint64_param?: string;
}
export type Parameters = Readonly<Record<string, Parameter>>;

export interface Contents {
  readonly bool_contents?: ArrayLike<unknown>;
  readonly int_contents?: ArrayLike<unknown>;
  readonly int64_contents?: ArrayLike<unknown>;
  readonly uint_contents?: ArrayLike<unknown>;
  readonly uint64_contents?: ArrayLike<unknown>;
  readonly fp32_contents?: ArrayLike<unknown>;
  readonly fp64_contents?: ArrayLike<unknown>;
  readonly bytes_contents?: readonly Uint8Array[];
}

export interface InputMessage {
  readonly name: string;
  readonly datatype: string;
  /** NaN where a dimension is no size that a number can hold. */
  readonly shape: readonly number[];
  readonly parameters: Parameters;
  readonly contents: Contents | null;
}

export interface InferRequestMessage {
  readonly model_name: string;
  readonly model_version: string;
  readonly id: string;
  readonly parameters: Parameters;
  readonly inputs: readonly InputMessage[];
  readonly outputs: readonly { readonly name: string; readonly parameters: Parameters }[];
  readonly raw_input_contents: readonly Uint8Array[];
}

export interface OutputMessage {
  readonly name: string;
  readonly datatype: string;
  readonly shape: readonly number[];
}

export interface InferAnswerMessage {
  readonly model_name: string;
  readonly model_version: string;
  readonly id: string;
  readonly outputs: readonly OutputMessage[];
  readonly raw_output_contents?: readonly Uint8Array[];
}
