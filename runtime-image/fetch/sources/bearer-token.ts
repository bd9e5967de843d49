/** Tokens that a server gives, and that run out: read from its answer, and asked for again after a refusal. */
import { Failure } from '../../termination.ts';
import {
  type Answer,
  discard,
  type HttpClient,
  plain,
  type Resource,
  refusedStatus,
} from '../http-client.ts';

/**
 * The resource, asked for once more when it is refused with 401.
 * @param renew gets another proof; false when there is none to be had
 */
export function renewing(
  resource: Resource,
  renew: (refusal: Answer, asked: URL) => Promise<boolean> | boolean,
): Resource {
  return {
    ...resource,
    instead: async (refusal, asked) => {
      // Whoever a redirect leads to gets no proof, and does not say where to get one.
      if (refusal.statusCode !== 401 || asked.origin !== new URL(resource.url).origin) return undefined;
      return (await renew(refusal, asked)) ? resource : undefined;
    },
  };
}

const maxBytes = 2 ** 20;

/**
 * @param fields the names that the token may have in the answer, the better one first
 * @throws Failure ArtifactUnauthorized without a token; what the status stands for when it is not 200
 */
export async function readToken(
  { answer, url }: { readonly answer: Answer; readonly url: URL },
  client: HttpClient,
  fields: readonly string[],
): Promise<string> {
  if (answer.statusCode !== 200) {
    await discard(answer);
    throw refusedStatus(url, answer.statusCode);
  }
  const text = await client.document(answer, maxBytes, 'the answer of the token server');
  const token = tokenIn(text.toString('utf8'), fields);
  if (token === undefined)
    throw new Failure('ArtifactUnauthorized', `${plain(url.href)} sent no access token`);
  return token;
}

/** The first of the fields that is a token and fits a header. */
function tokenIn(text: string, fields: readonly string[]): string | undefined {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  return fields
    .map((field) => (value as Record<string, unknown>)[field])
    .find((token): token is string => typeof token === 'string' && /^[\x21-\x7e]+$/.test(token));
}
