/** Proves to a registry who asks: its challenge says how (the distribution project's token protocol, or basic). */
import { Failure } from '../../termination.ts';
import { basicHeader, type Credentials } from '../credentials.ts';
import {
  type Headers,
  type HttpClient,
  header,
  plain,
  type Resource,
  refusedStatus,
} from '../http-client.ts';
import { readToken, renewing } from './bearer-token.ts';

export interface AuthorityOptions {
  readonly location: { readonly registry: string; readonly repository: string };
  readonly credentials: Credentials;
  readonly client: HttpClient;
}

export class RegistryAuthority {
  readonly #options: AuthorityOptions;
  #headers: Headers = {};

  constructor(options: AuthorityOptions) {
    this.#options = options;
  }

  /** Something of the registry, asked for once more after a challenge. */
  resource(url: string, headers: Headers = {}): Resource {
    const resource = { url, headers, authorize: () => this.#headers };
    // Also when a token has run out in the middle of a long download.
    return renewing(resource, async (answer, asked) => {
      const challenge = header(answer, 'www-authenticate');
      if (challenge === undefined) return false;
      this.#headers = await this.#answerTo(challenge, asked);
      return true;
    });
  }

  async #answerTo(challenge: string, asked: URL): Promise<Headers> {
    const { client, location } = this.#options;
    const own = this.#credentials();
    if (/^basic\b/i.test(challenge)) {
      if (own === undefined) throw refusedStatus(asked, 401);
      return { authorization: own };
    }
    const parameters = parseChallenge(challenge);
    const realm = URL.parse(parameters.get('realm') ?? '');
    if (!/^bearer\b/i.test(challenge) || realm === null)
      throw new Failure('ArtifactUnsupported', `${plain(asked.href)} asks for unknown credentials`);
    const service = parameters.get('service');
    if (service !== undefined) realm.searchParams.set('service', service);
    // What is needed, whatever the challenge says: a token for more could be used by whoever got hold of it.
    realm.searchParams.set('scope', `repository:${location.repository}:pull`);
    if (own?.startsWith('Bearer ') === true) return { authorization: own };
    const sent = await client.send({
      url: realm.href,
      ...(own === undefined ? {} : { authorize: () => ({ authorization: own }) }),
    });
    const token = await readToken(sent, client, ['token', 'access_token']);
    return { authorization: `Bearer ${token}` };
  }

  #credentials(): string | undefined {
    const { credentials, location } = this.#options;
    const { authorization, dockerConfig } = credentials;
    return (
      authorization ?? (dockerConfig === undefined ? undefined : fromDocker(dockerConfig, location.registry))
    );
  }
}

/** `Bearer realm="…",service="…",scope="…"`. */
function parseChallenge(challenge: string): ReadonlyMap<string, string> {
  const pairs = challenge.slice(0, 8192).matchAll(/([a-z]+)="([^"]*)"/gi);
  return new Map([...pairs].map(([, key = '', value = '']) => [key.toLowerCase(), value]));
}

/** The entry for one registry of a Docker configuration. */
function fromDocker(text: string, registry: string): string | undefined {
  let auths: unknown;
  try {
    auths = (JSON.parse(text) as { auths?: unknown } | null)?.auths;
  } catch (cause) {
    throw new Failure('ConfigurationInvalid', "the Secret's .dockerconfigjson is not JSON", { cause });
  }
  for (const [host, entry] of Object.entries(typeof auths === 'object' && auths !== null ? auths : {})) {
    if (
      host
        .replace(/^https?:\/\//, '')
        .replace(/\/.*$/, '')
        .replace(/^index\.(docker\.io)$/, '$1') !== registry
    )
      continue;
    const { auth, username, password } = (entry ?? {}) as Record<string, unknown>;
    if (typeof auth === 'string' && /^[A-Za-z0-9+/=]+$/.test(auth)) return `Basic ${auth}`;
    if (typeof username === 'string' && typeof password === 'string')
      return basicHeader({ username, password });
  }
  return undefined;
}
