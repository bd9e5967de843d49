/** Paths that are no resources: discovery, health, version, keys, OpenAPI. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { issuer } from '../auth/tokens.ts';
import { methodNotAllowed, notAcceptable } from '../errors.ts';
import type { JsonObject } from '../json.ts';
import { serveOpenApi } from '../openapi/serve.ts';
import type { App } from './app.ts';
import { aggregatedDiscovery, groupList, oneGroup, resourceList } from './discovery.ts';
import { sendJson, sendPageNotFound, sendText } from './respond.ts';

export async function servePath(
  app: App,
  request: IncomingMessage,
  response: ServerResponse,
  url: URL,
): Promise<void> {
  const path = url.pathname.length > 1 ? url.pathname.replace(/\/+$/, '') : url.pathname;
  const { registry } = app.core;
  if (request.method !== 'GET' && request.method !== 'HEAD') throw methodNotAllowed();
  if (/^\/(healthz|readyz|livez)(\/|$)/.test(path)) {
    const name = path.split('/')[1]!;
    const text = url.searchParams.has('verbose') ? `[+]ping ok\n${name} check passed\n` : 'ok';
    sendText(response, 200, text, { type: 'text/plain; charset=utf-8' });
    return;
  }
  if (path.startsWith('/openapi/')) {
    serveOpenApi(registry, request, response, url);
    return;
  }
  if (path === '/api' || path === '/apis') {
    const version = aggregatedVersion(request.headers.accept);
    if (version) {
      const text = JSON.stringify(aggregatedDiscovery(registry, path === '/api', version));
      const type = `application/json;g=apidiscovery.k8s.io;v=${version};as=APIGroupDiscoveryList`;
      sendText(response, 200, text, { type, headers: { vary: 'Accept' } });
    } else {
      const value = path === '/api' ? coreVersions(request) : groupList(registry);
      sendText(response, 200, JSON.stringify(value), { headers: { vary: 'Accept' } });
    }
    return;
  }
  const value = plainValue(app, path);
  if (value) sendJson(response, 200, value);
  else sendPageNotFound(response);
}

/** Version of the aggregated discovery that the client prefers; undefined when it wants the older form. */
function aggregatedVersion(accept: string | undefined): string | undefined {
  const types = (accept ?? 'application/json').split(',').map((each) => each.trim());
  for (const type of types) {
    if (!type.startsWith('application/json') && type !== '*/*') continue;
    if (!type.includes('as=APIGroupDiscoveryList')) return undefined;
    const version = /v=([^;]+)/.exec(type)?.[1];
    if (version === 'v2' || version === 'v2beta1') return version;
  }
  throw notAcceptable('application/json');
}

function coreVersions(request: IncomingMessage): JsonObject {
  const serverAddress = request.headers.host ?? '';
  return {
    kind: 'APIVersions',
    versions: ['v1'],
    serverAddressByClientCIDRs: [{ clientCIDR: '0.0.0.0/0', serverAddress }],
  };
}

function plainValue(app: App, path: string): JsonObject | undefined {
  const { registry } = app.core;
  switch (path) {
    case '/':
      return {
        paths: ['/api', '/apis', '/healthz', '/livez', '/openapi/v2', '/openapi/v3', '/readyz', '/version'],
      };
    case '/version': {
      const [major, minor] = app.version.slice(1).split('.');
      return {
        major: major!,
        minor: minor!,
        gitVersion: app.version,
        gitCommit: 'embedded',
        gitTreeState: 'clean',
        buildDate: '2026-01-01T00:00:00Z',
        goVersion: 'none',
        compiler: 'node',
        platform: `${process.platform}/${process.arch === 'x64' ? 'amd64' : process.arch}`,
      };
    }
    case '/openid/v1/jwks':
      return app.tokens.keys();
    case '/.well-known/openid-configuration':
      return {
        issuer,
        jwks_uri: `${issuer}/openid/v1/jwks`,
        response_types_supported: ['id_token'],
        subject_types_supported: ['public'],
        id_token_signing_alg_values_supported: ['RS256'],
      };
    default:
      break;
  }
  const parts = path.split('/').slice(1);
  if (parts[0] === 'api' && parts.length === 2) return resourceList(registry, '', parts[1]!);
  if (parts[0] === 'apis' && parts.length === 2) return oneGroup(registry, parts[1]!);
  if (parts[0] === 'apis' && parts.length === 3) return resourceList(registry, parts[1]!, parts[2]!);
  return undefined;
}
