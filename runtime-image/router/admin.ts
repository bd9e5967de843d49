/** The router's HTTP face for kubelets and Prometheus. */
import { createServer, type Server } from 'node:http';

export interface AdminRoutes {
  /** True while the agent's event loop turns; a dead HAProxy is restarted by the agent, not by the kubelet. */
  readonly healthy: () => boolean;
  readonly ready: () => boolean;
  readonly metrics: () => Promise<string>;
}

export function createAdmin(routes: AdminRoutes): Server {
  return createServer((request, response) => {
    const path = request.url?.split('?', 1)[0];
    const say = (status: number, text: string, type = 'text/plain; charset=utf-8') => {
      response.writeHead(status, { 'content-type': type });
      response.end(request.method === 'HEAD' ? undefined : text);
    };
    if (request.method !== 'GET' && request.method !== 'HEAD') say(405, 'only GET\n');
    else if (path === '/healthz')
      say(routes.healthy() ? 200 : 503, routes.healthy() ? 'ok\n' : 'unhealthy\n');
    else if (path === '/readyz') say(routes.ready() ? 200 : 503, routes.ready() ? 'ok\n' : 'not ready\n');
    else if (path === '/metrics') {
      routes.metrics().then(
        (text) => say(200, text, 'text/plain; version=0.0.4; charset=utf-8'),
        (error: unknown) => say(500, `${error}\n`),
      );
    } else say(404, 'not found\n');
  });
}
