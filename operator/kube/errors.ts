/** What the API server's errors mean to a reconcile: the one place that decides it. */
import { KubeError } from '../../kube-client/errors.ts';
import { RetryError, TerminalError } from '../engine/errors.ts';
import { Rejected } from '../reconcile/ports.ts';
import { NotLeading } from './fence.ts';

/**
 * Any error of a call as one that the engine or a reconcile understands:
 * - `Rejected`: the object itself is refused; its owner's status should say so;
 * - `RetryError`: it changed meanwhile, the server is busy or away; another visit may succeed;
 * - `TerminalError`: we asked something that makes no sense, which another visit does not change.
 */
export function translate(thrown: unknown): Error {
  if (thrown instanceof NotLeading || thrown instanceof TerminalError) return thrown;
  if (thrown instanceof TypeError) return new TerminalError(thrown.message, { cause: thrown });
  const error = KubeError.from(thrown);
  if (error.cause instanceof NotLeading) return error.cause;
  switch (error.code) {
    case 400:
    case 413:
    case 422:
      return new Rejected(reasonOf(error), { cause: error });
    case 403:
      // A namespace on its way out refuses everything, and so does a cluster that lacks our roles: neither is the object's fault.
      return isTerminatingNamespace(error) || isMissingRole(error)
        ? new RetryError(error.message, { cause: error, afterMs: 5_000 })
        : new Rejected(reasonOf(error), { cause: error });
    case 405:
    case 406:
    case 415:
      return new TerminalError(error.message, { cause: error });
    default:
      return new RetryError(error.message, {
        cause: error,
        ...(error.retryAfterMs === undefined ? {} : { afterMs: error.retryAfterMs }),
      });
  }
}

/** What the server said of the object, without the call that we made. */
function reasonOf(error: KubeError): string {
  return error.status?.message ?? error.message;
}

function isTerminatingNamespace(error: KubeError): boolean {
  return error.status?.details?.causes?.some((cause) => cause.reason === 'NamespaceTerminating') ?? false;
}

/** RBAC's own words; quota, Pod Security and webhooks have others. */
function isMissingRole(error: KubeError): boolean {
  return / cannot [a-z]+ resource /.test(error.status?.message ?? '');
}
