/** The admission chain: changes and refusals that need more of the world than the object itself. */
import type { ApiObject } from '../json.ts';
import type { Call, Operation } from '../resource/call.ts';

export interface AdmissionPlugin {
  /** Changes the object in place. */
  mutate?(call: Call, operation: Operation, object: ApiObject, old: ApiObject | undefined): void;
  /** @throws StatusError when the write is refused */
  validate?(call: Call, operation: Operation, object: ApiObject, old: ApiObject | undefined): void;
}

export class Admission {
  private readonly plugins: readonly AdmissionPlugin[];

  constructor(plugins: readonly AdmissionPlugin[]) {
    this.plugins = plugins;
  }

  mutate(call: Call, operation: Operation, object: ApiObject, old?: ApiObject): void {
    for (const plugin of this.plugins) plugin.mutate?.(call, operation, object, old);
  }

  validate(call: Call, operation: Operation, object: ApiObject, old?: ApiObject): void {
    for (const plugin of this.plugins) plugin.validate?.(call, operation, object, old);
  }
}
