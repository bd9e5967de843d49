import type { Taint } from './node/registration.ts';

/** A node of the local cluster. */
export interface NodeSpec {
  readonly name: string;
  readonly labels?: Readonly<Record<string, string>>;
  readonly taints?: readonly Taint[];
  /** What it claims to have; nothing of it is enforced but the memory limits of containers. */
  readonly capacity: Readonly<Record<string, string>>;
}

const machine = { cpu: '16', memory: '64Gi', 'ephemeral-storage': '100Gi', pods: '110' };

function gpuNode(name: string): NodeSpec {
  return {
    name,
    labels: {
      'node.kubernetes.io/instance-type': 'gpu-4',
      'nvidia.com/gpu.present': 'true',
      'nvidia.com/gpu.product': 'NVIDIA-A100-SXM4-80GB',
      'nvidia.com/gpu.count': '4',
      'topology.kubernetes.io/zone': 'local-a',
    },
    taints: [{ key: 'nvidia.com/gpu', value: 'present', effect: 'NoSchedule' }],
    capacity: { ...machine, 'nvidia.com/gpu': '4' },
  };
}

/** One node without GPUs and two with four each, tainted as GPU pools in clouds are. */
export const defaultNodes: readonly NodeSpec[] = [
  {
    name: 'cpu-0',
    labels: { 'node.kubernetes.io/instance-type': 'cpu', 'topology.kubernetes.io/zone': 'local-a' },
    capacity: machine,
  },
  gpuNode('gpu-0'),
  gpuNode('gpu-1'),
];
