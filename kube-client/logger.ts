/** The four calls of a winston logger that we use, so that this room does not need one. */
export interface Logger {
  debug(message: string, fields?: Record<string, unknown>): unknown;
  info(message: string, fields?: Record<string, unknown>): unknown;
  warn(message: string, fields?: Record<string, unknown>): unknown;
  error(message: string, fields?: Record<string, unknown>): unknown;
}

/** Writes nothing. */
export const silent: Logger = { debug() {}, info() {}, warn() {}, error() {} };
