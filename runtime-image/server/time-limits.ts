/** Longest that a request may take to come, and then its answer to leave, over either protocol: what moves slower holds memory for nothing. */
export const transferTimeoutMs = 300_000;
