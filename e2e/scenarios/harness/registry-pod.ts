/**
 * An OCI registry in the cluster, with the image's own model in it: a Pod of the runtime image, which has Node and the models, and a
 * Service before it. It asks for a password.
 */
import { resources } from '../../../kube-client/resources.ts';
import type { Service } from './kinds.ts';
import { images, type Session } from './session.ts';

const labels = { 'app.kubernetes.io/name': 'models' };
const port = 5000;

export const registryUser = { username: 'reader', password: 'secret' } as const;

/**
 * `models/vad:5.0.0`, one layer, and `models/slow:5.0.0`, the same, of which the second half comes when somebody asks for
 * `/release`. Runs on any Node, in a container or not.
 */
const program = `
const { createServer } = require('node:http');
const { createHash } = require('node:crypto');
const { EventEmitter } = require('node:events');
const { readFileSync } = require('node:fs');
const model = readFileSync(process.env.SLUICE_FILE_ROOT + '/silero_vad_v5.onnx');
const digest = 'sha256:' + createHash('sha256').update(model).digest('hex');
const type = 'application/vnd.oci.image.manifest.v1+json';
const manifest = JSON.stringify({
  schemaVersion: 2,
  mediaType: type,
  config: { mediaType: 'application/vnd.oci.empty.v1+json', digest, size: 2 },
  layers: [{ mediaType: 'application/octet-stream', digest, size: model.length }],
});
const basic = 'Basic ' + Buffer.from(process.env.READER).toString('base64');
const half = Math.floor(model.length / 2);
const waiting = new EventEmitter();
let released = false;
createServer((request, response) => {
  if (request.url === '/release') {
    released = true;
    waiting.emit('release');
    return response.end();
  }
  if (request.headers.authorization !== basic)
    return response.writeHead(401, { 'www-authenticate': 'Basic realm="models"' }).end();
  if (['/v2/models/vad/manifests/5.0.0', '/v2/models/slow/manifests/5.0.0'].includes(request.url))
    return response.writeHead(200, { 'content-type': type }).end(manifest);
  if (request.url === '/v2/models/vad/blobs/' + digest) return response.end(model);
  if (request.url === '/v2/models/slow/blobs/' + digest) {
    response.writeHead(200, { 'content-length': model.length }).write(model.subarray(0, half));
    const send = () => response.end(model.subarray(half));
    return released ? send() : waiting.once('release', send);
  }
  response.writeHead(404).end();
}).listen(${port}, process.env.POD_IP);
`;

/** The registry sends what it has held back. */
export async function releaseSlow({ shell }: Session, namespace: string): Promise<void> {
  const ask = `await fetch('http://' + process.env.POD_IP + ':${port}/release')`;
  const run = ['node', '--input-type=module', '--eval', ask];
  await shell.kubectl(['exec', '-n', namespace, 'models', '--', ...run]);
}

/** @returns `host:port`, which can be reached once the Pod runs */
export async function startRegistry({ client }: Session, namespace: string): Promise<string> {
  await client.create(resources.pods, namespace, {
    apiVersion: 'v1',
    kind: 'Pod',
    metadata: { name: 'models', labels },
    spec: {
      automountServiceAccountToken: false,
      terminationGracePeriodSeconds: 1,
      securityContext: { runAsNonRoot: true, runAsUser: 65532, seccompProfile: { type: 'RuntimeDefault' } },
      containers: [
        {
          name: 'registry',
          image: images.runtime,
          command: ['node', '--eval', program],
          env: [
            { name: 'READER', value: `${registryUser.username}:${registryUser.password}` },
            { name: 'POD_IP', valueFrom: { fieldRef: { fieldPath: 'status.podIP' } } },
          ],
          ports: [{ name: 'registry', containerPort: port }],
          readinessProbe: { tcpSocket: { port: 'registry' }, periodSeconds: 1 },
          securityContext: {
            allowPrivilegeEscalation: false,
            readOnlyRootFilesystem: true,
            capabilities: { drop: ['ALL'] },
          },
        },
      ],
    },
  });
  const service = await client.create<Service>(resources.services, namespace, {
    apiVersion: 'v1',
    kind: 'Service',
    metadata: { name: 'models' },
    spec: { selector: labels, ports: [{ name: 'registry', port, targetPort: 'registry' }] },
  });
  return `${service.spec.clusterIP}:${port}`;
}
