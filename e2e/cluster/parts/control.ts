/**
 * The process of the control plane: the embedded API server or a real one, and our controllers and scheduler where there
 * are no real ones.
 */
import { join } from 'node:path';
import { startApiServer } from '../api/server.ts';
import { findBinaries } from '../assets/binaries.ts';
import { createAuthority } from '../assets/certificates.ts';
import { type ControlPlane, type ControlPlaneOptions, startControlPlane } from '../assets/control-plane.ts';
import { type Slot, takeSlot } from '../assets/slot.ts';
import { startControllers } from '../controllers/start.ts';
import type { Logger } from '../node/ports.ts';
import type { NodeSpec } from '../node-spec.ts';
import { jsonLogger } from './log.ts';
import type { PlacedNode } from './nodes.ts';
import { type Served, servePart } from './serve.ts';

export interface ControlOptions {
  /** Existing folder for its files. */
  readonly folder: string;
  /** Folder of real programs; absent: the embedded API server. */
  readonly assets: string | undefined;
  readonly nodes: readonly NodeSpec[];
  /** Silence, in milliseconds, after which a node counts as lost. */
  readonly nodeGraceMs: number;
}

export interface ControlReady {
  readonly kubeconfig: string;
  readonly ca: string;
  readonly nodes: readonly PlacedNode[];
}

async function start(options: ControlOptions): Promise<Served> {
  const logger = jsonLogger('control');
  const log = (message: string, fields?: object) => logger.info(message, fields);
  const { assets, folder, nodeGraceMs } = options;
  const slot = await takeSlot(assets === undefined ? 127 : 10);
  const ends: (() => Promise<void>)[] = [() => slot.release()];
  const stop = async () => {
    for (const end of ends.toReversed()) await end();
  };
  try {
    const places = options.nodes.map((spec, index) => ({
      spec,
      address: slot.nodeAddress(index),
      podCidr: slot.nodeCidr(index),
    }));
    const named = places.map(({ spec, address }) => ({ name: spec.name, address }));
    const plane =
      assets === undefined
        ? await embedded(folder, slot, named, logger)
        : await real(assets, { folder, slot, nodes: named, nodeGraceMs });
    ends.push(() => plane.stop());
    const { kubeconfig, ca } = plane;
    if (plane.missing.length > 0) {
      const parts = plane.missing;
      ends.push(await startControllers({ kubeconfig, rootCa: ca, parts, nodeGraceMs, log }));
    }
    const nodes = places.map((place): PlacedNode => {
      const kubelet = plane.kubelets.get(place.spec.name);
      if (kubelet === undefined) throw new Error(`no certificate for ${place.spec.name}`);
      return { ...place, kubelet };
    });
    const value: ControlReady = { kubeconfig, ca, nodes };
    return { value, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

/** A control plane, with what it has no program for. */
interface Plane extends ControlPlane {
  readonly missing: readonly ('controllers' | 'scheduler')[];
}

async function real(assets: string, options: Omit<ControlPlaneOptions, 'binaries'>): Promise<Plane> {
  const binaries = findBinaries(assets);
  const plane = await startControlPlane({ ...options, binaries });
  const missing = (['controllers', 'scheduler'] as const).filter(
    (part) => (part === 'controllers' ? binaries.controllerManager : binaries.scheduler) === undefined,
  );
  return { ...plane, missing };
}

async function embedded(
  folder: string,
  slot: Slot,
  nodes: readonly { readonly name: string; readonly address: string }[],
  logger: Logger,
): Promise<Plane> {
  const server = await startApiServer({
    host: '127.0.0.1',
    port: 0,
    dataDir: join(folder, 'api'),
    serviceCidr: slot.serviceCidr,
    logger,
  });
  const authority = createAuthority('sluice-kubelets');
  return {
    kubeconfig: server.adminKubeconfig,
    ca: server.caPem,
    kubelets: new Map(
      nodes.map(({ name, address }) => [
        name,
        authority.issue({ commonName: `system:node:${name}`, addresses: [address] }),
      ]),
    ),
    missing: ['controllers', 'scheduler'],
    stop: () => server.stop(),
  };
}

servePart((options) => start(options as ControlOptions));
