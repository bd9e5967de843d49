/**
 * What one request may make of its bytes. Decoded values take more memory than their encodings, some a hundred times
 * more, so limits on bytes alone would let a small request end the process. Large tensors travel raw, which takes no more
 * than their bytes and has none of these limits.
 */

/** Inputs, requested outputs and raw contents: more than any model has. */
export const maxTensors = 1024;

/** Entries of one map of parameters. */
export const maxParameters = 256;

/** Elements sent as typed contents over gRPC, in all. */
export const maxTypedElements = 8 * 2 ** 20;

/** BYTES elements of one tensor, however they travel: each becomes an object. */
export const maxBytesElements = 2 ** 20;

/** Bytes of JSON, without the binary data after it. */
export const maxJsonBytes = 16 * 2 ** 20;

/** Levels of JSON, of which tensors of the highest rank leave a few to spare. */
export const maxJsonDepth = 100;

/** Elements answered as JSON: some twenty characters each. */
export const maxJsonElements = 4 * 2 ** 20;
