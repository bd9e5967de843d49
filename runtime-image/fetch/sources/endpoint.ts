/** Base URLs of stores, as the installation's values and the keys of Secrets give them. */
import { Failure } from '../../termination.ts';

/** Without a slash at its end. @throws Failure ConfigurationInvalid */
export function baseUrl(endpoint: string): string {
  const url = URL.parse(endpoint);
  if (url === null || !/^https?:$/.test(url.protocol) || url.search !== '' || url.hash !== '') {
    throw new Failure(
      'ConfigurationInvalid',
      `the endpoint ${JSON.stringify(endpoint.slice(0, 200))} is not a URL such as https://store.example.com`,
    );
  }
  return url.href.replace(/\/+$/, '');
}
