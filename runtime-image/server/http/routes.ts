/** Which call of the protocol a method and a path mean. Pure. */
import { InferenceError, invalid, quote } from '../protocol/errors.ts';

export type Route =
  | { readonly call: 'serverMetadata' | 'live' | 'ready' | 'repositoryIndex' | 'allStatistics' }
  | { readonly call: 'repositoryChange' }
  | {
      readonly call: 'modelMetadata' | 'modelReady' | 'infer' | 'statistics';
      readonly model: string;
      readonly version: string | undefined;
    };

/** A path that exists, asked with another method. */
export class MethodNotAllowed extends Error {
  readonly allow: string;

  constructor(allow: string) {
    super(`this path takes ${allow}`);
    this.allow = allow;
  }
}

/**
 * @param target the request target, with or without a query
 * @throws InferenceError NotFound, MethodNotAllowed
 */
export function route(method: string, target: string): Route {
  const path = target.split('?', 1)[0] ?? '';
  const found = match(path);
  if (found === undefined) throw new InferenceError('NotFound', `no such path: ${quote(path)}`);
  const posts =
    found.call === 'infer' || found.call === 'repositoryIndex' || found.call === 'repositoryChange';
  if (posts ? method !== 'POST' : method !== 'GET' && method !== 'HEAD') {
    throw new MethodNotAllowed(posts ? 'POST' : 'GET');
  }
  return found;
}

const fixed: Readonly<Record<string, Route>> = {
  '/v2': { call: 'serverMetadata' },
  '/v2/health/live': { call: 'live' },
  '/v2/health/ready': { call: 'ready' },
  '/v2/repository/index': { call: 'repositoryIndex' },
  '/v2/models/stats': { call: 'allStatistics' },
};

const modelPath = /^\/v2\/models\/([^/]+)(?:\/versions\/([^/]+))?(?:\/(ready|infer|stats))?$/;
const changePath = /^\/v2\/repository\/models\/[^/]+\/(?:load|unload)$/;
const modelCalls = { ready: 'modelReady', infer: 'infer', stats: 'statistics' } as const;

function match(path: string): Route | undefined {
  const trimmed = path.length > 1 && path.endsWith('/') ? path.slice(0, -1) : path;
  if (Object.hasOwn(fixed, trimmed)) return fixed[trimmed];
  if (changePath.test(trimmed)) return { call: 'repositoryChange' };
  const [, model, version, call] = modelPath.exec(trimmed) ?? [];
  if (model === undefined) return undefined;
  return {
    call: call === undefined ? 'modelMetadata' : modelCalls[call as keyof typeof modelCalls],
    model: decode(model),
    version: version === undefined ? undefined : decode(version),
  };
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment);
  } catch {
    throw invalid(`${quote(segment)} is not a valid path segment`);
  }
}
