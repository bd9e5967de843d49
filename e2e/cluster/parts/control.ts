/**
 * The process of the control plane: the embedded API server or a real one, and our controllers and scheduler where there
 * are no real ones.
 */
import { findBinaries } from '../assets/binaries.ts';
import type { Identity } from '../assets/certificates.ts';
import { startControlPlane } from '../assets/control-plane.ts';
import { takeSlot } from '../assets/slot.ts';
import { startControllers } from '../controllers/start.ts';
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
    const binaries = findBinaries(assets ?? '');
    const plane = await startControlPlane({ binaries, folder, slot, nodes: named, nodeGraceMs });
    ends.push(() => plane.stop());
    const parts = (['controllers', 'scheduler'] as const).filter(
      (part) => (part === 'controllers' ? binaries.controllerManager : binaries.scheduler) === undefined,
    );
    if (parts.length > 0) {
      const { kubeconfig, ca } = plane;
      ends.push(await startControllers({ kubeconfig, rootCa: ca, parts, nodeGraceMs, log }));
    }
    const nodes = places.map((place): PlacedNode => {
      const kubelet: Identity | undefined = plane.kubelets.get(place.spec.name);
      if (kubelet === undefined) throw new Error(`no certificate for ${place.spec.name}`);
      return { ...place, kubelet };
    });
    const value: ControlReady = { kubeconfig: plane.kubeconfig, ca: plane.ca, nodes };
    return { value, stop };
  } catch (error) {
    await stop();
    throw error;
  }
}

servePart((options) => start(options as ControlOptions));
