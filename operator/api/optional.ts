/** A field when its value is known, nothing otherwise: what `exactOptionalPropertyTypes` asks for. */
export const optional = <K extends string, V>(key: K, value: V | undefined): { [P in K]?: V } =>
  (value === undefined ? {} : { [key]: value }) as { [P in K]?: V };
