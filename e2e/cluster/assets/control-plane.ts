import { generateKeyPairSync } from 'node:crypto';
import { createWriteStream, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { KubeClient } from '../../../kube-client/client.ts';
import { loadConnection } from '../../../kube-client/connection.ts';
import { type ContainerProcess, startProcess } from '../node/container-process.ts';
import type { Binaries } from './binaries.ts';
import { createAuthority, type Identity } from './certificates.ts';
import { writeKubeconfig } from './kubeconfig.ts';
import type { Slot } from './slot.ts';

/** How long the API server may take to answer, in milliseconds. */
const startupMs = 60_000;
/** How long a program may take to end in good order, in milliseconds. */
const stopMs = 2_000;

export interface ControlPlaneOptions {
  readonly binaries: Binaries;
  /** Existing folder for certificates, data and logs. */
  readonly folder: string;
  readonly slot: Slot;
  /** Names and addresses of the nodes, whose kubelets get certificates. */
  readonly nodes: readonly { readonly name: string; readonly address: string }[];
  /** Silence, in milliseconds, after which a node counts as lost. */
  readonly nodeGraceMs: number;
}

export interface ControlPlane {
  /** Path of an administrator's kubeconfig. */
  readonly kubeconfig: string;
  /** Certificate (PEM) that everything in the cluster is known by. */
  readonly ca: string;
  /** Certificate of a kubelet's own server. */
  readonly kubelets: ReadonlyMap<string, Identity>;
  stop(): Promise<void>;
}

/** Starts real etcd and kube-apiserver, and kube-controller-manager and kube-scheduler where there are any. */
export async function startControlPlane(options: ControlPlaneOptions): Promise<ControlPlane> {
  const { binaries, folder, slot, nodes } = options;
  const logs = join(folder, 'log');
  mkdirSync(logs, { recursive: true });
  const authority = createAuthority('sluice-cluster');
  const path = (name: string) => join(folder, name);
  const save = (name: string, { cert, key }: Identity): void => {
    writeFileSync(path(`${name}.crt`), cert, { mode: 0o600 });
    writeFileSync(path(`${name}.key`), key, { mode: 0o600 });
  };
  writeFileSync(path('ca.crt'), authority.cert);
  writeFileSync(path('ca.key'), authority.key, { mode: 0o600 });
  const admin = authority.issue({ commonName: 'admin', organization: 'system:masters' });
  save('admin', admin);
  save('kubelet-client', authority.issue({ commonName: 'kube-apiserver', organization: 'system:masters' }));
  save('front-proxy', authority.issue({ commonName: 'front-proxy-client' }));
  save('etcd', authority.issue({ commonName: 'etcd', addresses: ['127.0.0.1'] }));
  save(
    'apiserver',
    authority.issue({
      commonName: 'kube-apiserver',
      dnsNames: ['localhost', 'kubernetes', 'kubernetes.default', 'kubernetes.default.svc'],
      addresses: ['127.0.0.1', slot.apiService, slot.apiAddress],
    }),
  );
  const tokens = generateKeyPairSync('rsa', { modulusLength: 2048 });
  writeFileSync(path('tokens.key'), tokens.privateKey.export({ type: 'pkcs1', format: 'pem' }), {
    mode: 0o600,
  });
  writeFileSync(path('tokens.pub'), tokens.publicKey.export({ type: 'spki', format: 'pem' }));

  const [etcdPort, peerPort, apiPort, managerPort, schedulerPort] = await freePorts(5);
  const server = `https://127.0.0.1:${apiPort}`;
  const kubeconfig = path('kubeconfig');
  writeKubeconfig(kubeconfig, server, authority.cert, admin);
  const running: { name: string; process: ContainerProcess }[] = [];
  const start = (
    name: string,
    program: string,
    flags: Readonly<Record<string, string | number | boolean>>,
  ) => {
    const log = createWriteStream(join(logs, `${name}.log`));
    const process = startProcess({
      command: [program, ...Object.entries(flags).map(([flag, value]) => `--${flag}=${value}`)],
      env: { PATH: '/usr/bin:/bin' },
      cwd: folder,
      onOutput: (_stream, chunk) => log.write(chunk),
    });
    void process.ended.then(() => log.end());
    running.push({ name, process });
    return process;
  };
  const stop = async (): Promise<void> => {
    // In the order in which they need each other, so that nobody complains; nothing of what they hold is needed again.
    const end = async ({ process }: { readonly process: ContainerProcess }) => {
      process.signal('SIGTERM');
      const hard = setTimeout(() => process.kill(), stopMs);
      await process.ended;
      clearTimeout(hard);
    };
    const [etcd, apiServer, ...others] = running;
    await Promise.all(others.map(end));
    if (apiServer !== undefined) await end(apiServer);
    if (etcd !== undefined) await end(etcd);
  };

  try {
    start('etcd', binaries.etcd, {
      name: 'sluice',
      'data-dir': path('etcd'),
      'listen-client-urls': `https://127.0.0.1:${etcdPort}`,
      'advertise-client-urls': `https://127.0.0.1:${etcdPort}`,
      'listen-peer-urls': `http://127.0.0.1:${peerPort}`,
      'initial-advertise-peer-urls': `http://127.0.0.1:${peerPort}`,
      'initial-cluster': `sluice=http://127.0.0.1:${peerPort}`,
      'client-cert-auth': true,
      'trusted-ca-file': path('ca.crt'),
      'cert-file': path('etcd.crt'),
      'key-file': path('etcd.key'),
      // What is lost with the machine was of no use to anybody.
      'unsafe-no-fsync': true,
      'log-level': 'warn',
    });
    const apiServer = start('kube-apiserver', binaries.apiServer, {
      'etcd-servers': `https://127.0.0.1:${etcdPort}`,
      'etcd-cafile': path('ca.crt'),
      'etcd-certfile': path('admin.crt'),
      'etcd-keyfile': path('admin.key'),
      'bind-address': '0.0.0.0',
      'secure-port': apiPort ?? 0,
      'advertise-address': slot.apiAddress,
      'service-cluster-ip-range': slot.serviceCidr,
      'authorization-mode': 'Node,RBAC',
      'enable-admission-plugins': 'NodeRestriction',
      'client-ca-file': path('ca.crt'),
      'tls-cert-file': path('apiserver.crt'),
      'tls-private-key-file': path('apiserver.key'),
      'kubelet-client-certificate': path('kubelet-client.crt'),
      'kubelet-client-key': path('kubelet-client.key'),
      'kubelet-certificate-authority': path('ca.crt'),
      'kubelet-preferred-address-types': 'InternalIP',
      'service-account-issuer': 'https://kubernetes.default.svc',
      'service-account-key-file': path('tokens.pub'),
      'service-account-signing-key-file': path('tokens.key'),
      'requestheader-client-ca-file': path('ca.crt'),
      'requestheader-allowed-names': 'front-proxy-client',
      'requestheader-username-headers': 'X-Remote-User',
      'requestheader-group-headers': 'X-Remote-Group',
      'requestheader-extra-headers-prefix': 'X-Remote-Extra-',
      'proxy-client-cert-file': path('front-proxy.crt'),
      'proxy-client-key-file': path('front-proxy.key'),
      'allow-privileged': true,
    });
    await untilReady(kubeconfig, apiServer, join(logs, 'kube-apiserver.log'));
    if (binaries.controllerManager !== undefined) {
      start('kube-controller-manager', binaries.controllerManager, {
        kubeconfig,
        'authentication-kubeconfig': kubeconfig,
        'authorization-kubeconfig': kubeconfig,
        'bind-address': '127.0.0.1',
        'secure-port': managerPort ?? 0,
        'use-service-account-credentials': true,
        'service-account-private-key-file': path('tokens.key'),
        'root-ca-file': path('ca.crt'),
        'cluster-signing-cert-file': path('ca.crt'),
        'cluster-signing-key-file': path('ca.key'),
        'service-cluster-ip-range': slot.serviceCidr,
        'node-monitor-grace-period': `${options.nodeGraceMs}ms`,
        'leader-elect': false,
      });
    }
    if (binaries.scheduler !== undefined) {
      start('kube-scheduler', binaries.scheduler, {
        kubeconfig,
        'authentication-kubeconfig': kubeconfig,
        'authorization-kubeconfig': kubeconfig,
        'bind-address': '127.0.0.1',
        'secure-port': schedulerPort ?? 0,
        'leader-elect': false,
      });
    }
    const kubelets = new Map(
      nodes.map(({ name, address }) => [
        name,
        authority.issue({
          commonName: `system:node:${name}`,
          organization: 'system:nodes',
          dnsNames: [name],
          addresses: [address],
        }),
      ]),
    );
    return { kubeconfig, ca: authority.cert, kubelets, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

async function untilReady(kubeconfig: string, apiServer: ContainerProcess, log: string): Promise<void> {
  let ended = false;
  void apiServer.ended.then(() => {
    ended = true;
  });
  const connection = loadConnection({ kubeconfig });
  const client = new KubeClient(connection);
  const deadline = performance.now() + startupMs;
  try {
    for (;;) {
      try {
        await (await client.raw('GET', '/readyz')).text();
        return;
      } catch (error) {
        if (ended || performance.now() > deadline) {
          const tail = readFileSync(log, 'utf8').split('\n').slice(-5).join('\n');
          throw new Error(`kube-apiserver did not become ready:\n${tail}`, { cause: error });
        }
        await delay(100);
      }
    }
  } finally {
    await connection.close?.();
  }
}

/** Ports that nobody listens on. They are all held until the last is found, so that they differ. */
async function freePorts(count: number): Promise<number[]> {
  const servers = await Promise.all(
    Array.from({ length: count }, async () => {
      const server = createServer();
      await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
      return server;
    }),
  );
  const ports = servers.map((server) => {
    const address = server.address();
    return address !== null && typeof address === 'object' ? address.port : 0;
  });
  await Promise.all(servers.map((server) => new Promise<void>((resolve) => server.close(() => resolve()))));
  return ports;
}
