/** Names of a version's volumes. */
export const volumes = {
  model: 'model',
  tmp: 'tmp',
  credentials: 'credentials',
  cache: 'cache',
  claim: 'claim',
} as const;
