/** Golden requests: what is sent, and what the answers mean. */
import { type Client, RequestFailed } from '../load/client.ts';
import { mismatch } from '../load/expectation.ts';
import { type Plan, parsePlan } from '../load/plan.ts';
import { Failure } from '../termination.ts';

/**
 * Reads a JSON list of `{inputs, expect}`, in the words of a request file of `load`.
 *
 * @throws Failure `ConfigurationInvalid`, with the path of the field that is wrong
 */
export async function readGolden(text: string): Promise<readonly Plan[]> {
  try {
    const requests: unknown = JSON.parse(text);
    if (!Array.isArray(requests) || requests.length === 0) throw new Error('it is no list of requests');
    return await Promise.all(
      requests.map((request, index) =>
        parsePlan(request, () => Promise.reject(new Error('golden requests open no files'))).catch(
          (error: Error) => {
            throw new Error(`[${index}].${error.message}`, { cause: error });
          },
        ),
      ),
    );
  } catch (error) {
    throw new Failure('ConfigurationInvalid', `golden requests: ${(error as Error).message}`, {
      cause: error,
    });
  }
}

/** `wrong`: the server answered, and the answer is not the one it must give. `silent`: it did not answer. */
export type Outcome =
  | { readonly kind: 'right' }
  | { readonly kind: 'wrong'; readonly message: string }
  | { readonly kind: 'silent'; readonly message: string };

/** Refusals of the request itself: asking again would bring the same. */
const refusals =
  /^(http-4\d\d|grpc-(INVALID_ARGUMENT|NOT_FOUND|UNIMPLEMENTED|OUT_OF_RANGE|FAILED_PRECONDITION)|malformed)$/;

/** Sends all golden requests in turn, until one is not answered as it must be. */
export async function check(
  client: Client,
  model: string,
  golden: readonly Plan[],
  timeoutMs: number,
): Promise<Outcome> {
  for (const [index, plan] of golden.entries()) {
    try {
      const id = `golden-${index}`;
      const answer = await client.infer({ model, version: undefined, id, inputs: plan.inputs(0) }, timeoutMs);
      const wrong = mismatch(plan.expect, 0, answer.version, answer.outputs);
      if (wrong !== undefined)
        return { kind: 'wrong', message: `golden[${index}]: ${wrong.replace(/^step 0: /, '')}` };
    } catch (error) {
      if (!(error instanceof RequestFailed)) throw error;
      const message = `golden[${index}]: ${error.kind}: ${error.message}`;
      return { kind: refusals.test(error.kind) ? 'wrong' : 'silent', message };
    }
  }
  return { kind: 'right' };
}
