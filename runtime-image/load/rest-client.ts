/** Open Inference Protocol v2 over REST, with JSON tensors. */
import { Pool } from 'undici';
import { versionHeader } from '#contract';
import { type Answer, type Client, type InferRequest, RequestFailed } from './client.ts';
import { decode, encode, flatten, isDatatype, type Tensor } from './tensor.ts';

type Headers = Readonly<Record<string, string>>;

/**
 * A client of the server at `origin` (`http://host:port`) that keeps at most `connections` connections.
 *
 * @param headers of every request
 */
export function restClient(origin: string, connections: number, headers: Headers = {}): Client {
  const pool = new Pool(origin, { connections, pipelining: 1 });
  return {
    infer: (request, timeoutMs) => infer(pool, headers, request, timeoutMs),
    close: () => pool.close(),
  };
}

/** JSON of tensors that are sent again and again is made once. */
const serialised = new WeakMap<Tensor, string>();

async function infer(
  pool: Pool,
  headers: Headers,
  request: InferRequest,
  timeoutMs: number,
): Promise<Answer> {
  const { model, version, id, inputs } = request;
  const pin = version === undefined ? '' : `/versions/${encodeURIComponent(version)}`;
  const response = await pool
    .request({
      method: 'POST',
      path: `/v2/models/${encodeURIComponent(model)}${pin}/infer`,
      headers: { ...headers, 'content-type': 'application/json' },
      body: `{"id":${JSON.stringify(id)},"inputs":[${inputs.map(toJson).join(',')}]}`,
      signal: AbortSignal.timeout(timeoutMs),
    })
    .catch((error: unknown) => {
      throw connectionFailure(error, timeoutMs);
    });
  const header = response.headers[versionHeader];
  const answeredBy = Array.isArray(header) ? header[0] : header;
  const text = await response.body.text().catch((error: unknown) => {
    throw connectionFailure(error, timeoutMs, answeredBy);
  });
  if (response.statusCode !== 200) {
    throw new RequestFailed(`http-${response.statusCode}`, text.slice(0, 500).trim() || 'no message', {
      version: answeredBy,
    });
  }
  try {
    const body = JSON.parse(text) as { outputs: readonly Record<string, unknown>[] };
    return { version: answeredBy, outputs: body.outputs.map(fromJson) };
  } catch (error) {
    throw new RequestFailed('malformed', `${(error as Error).message}: ${text.slice(0, 200)}`, {
      cause: error,
      version: answeredBy,
    });
  }
}

function toJson(tensor: Tensor): string {
  const known = serialised.get(tensor);
  if (known !== undefined) return known;
  const { name, datatype, shape, raw } = tensor;
  const text = JSON.stringify({ name, datatype, shape, data: decode(datatype, raw) });
  serialised.set(tensor, text);
  return text;
}

function fromJson(output: Record<string, unknown>): Tensor {
  const { name, datatype, shape, data } = output;
  if (typeof name !== 'string' || !isDatatype(datatype) || !Array.isArray(shape)) {
    throw new Error('an output lacks name, datatype or shape');
  }
  return { name, datatype, shape: shape.map(Number), raw: encode(datatype, flatten(data)) };
}

function connectionFailure(error: unknown, timeoutMs: number, version?: string): RequestFailed {
  const { name, code, message } = error as { name?: string; code?: string; message?: string };
  return name === 'TimeoutError'
    ? new RequestFailed('timeout', `no answer within ${timeoutMs} ms`, { cause: error, version })
    : new RequestFailed('connect', [code, message].filter(Boolean).join(': '), { cause: error, version });
}
