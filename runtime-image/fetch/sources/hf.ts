/** `hf:` artifacts: a file of a Hugging Face repository, or of a mirror that keeps its layout. */
import type { Credentials } from '../credentials.ts';
import type { Resource } from '../http-client.ts';
import { escapePath } from '../location.ts';
import { baseUrl } from './endpoint.ts';

const publicEndpoint = 'https://huggingface.co';

export function hfFile(
  file: { readonly repository: string; readonly revision: string; readonly path: string },
  { authorization }: Credentials,
  endpoint = publicEndpoint,
): Resource {
  const { repository, revision, path } = file;
  return {
    url: `${baseUrl(endpoint)}/${repository}/resolve/${encodeURIComponent(revision)}/${escapePath(path)}`,
    ...(authorization === undefined ? {} : { authorize: () => ({ authorization }) }),
  };
}
