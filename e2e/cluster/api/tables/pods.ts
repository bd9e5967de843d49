/** The columns of pods: the status word tells what a person should look at first. */
import { type ApiObject, asObject, asObjects, asString, at, type JsonObject } from '../json.ts';
import type { TablePrinter } from '../kinds/kind.ts';
import { age } from './format.ts';

function restartable(container: JsonObject): boolean {
  return container['restartPolicy'] === 'Always';
}

function initWord(object: ApiObject): string | undefined {
  const declared = asObjects(at(object, 'spec', 'initContainers'));
  const statuses = asObjects(at(object, 'status', 'initContainerStatuses'));
  for (const [index, status] of statuses.entries()) {
    const state = asObject(status['state']);
    const terminated = asObject(state['terminated']);
    const waiting = asObject(state['waiting']);
    const spec = declared.find((each) => each['name'] === status['name']);
    if (state['terminated'] !== undefined && terminated['exitCode'] === 0) continue;
    if (spec && restartable(spec) && status['started'] === true) continue;
    if (state['terminated'] !== undefined) {
      const reason = asString(terminated['reason']);
      if (reason) return `Init:${reason}`;
      return terminated['signal']
        ? `Init:Signal:${terminated['signal']}`
        : `Init:ExitCode:${terminated['exitCode']}`;
    }
    const reason = asString(waiting['reason']);
    if (reason && reason !== 'PodInitializing') return `Init:${reason}`;
    return `Init:${index}/${declared.length}`;
  }
  return undefined;
}

function podWord(object: ApiObject): string {
  const status = asObject(object['status']);
  let word = asString(status['reason']) || asString(status['phase']);
  for (const condition of asObjects(status['conditions'])) {
    if (condition['type'] === 'PodScheduled' && condition['reason'] === 'SchedulingGated')
      word = 'SchedulingGated';
  }
  const initializing = initWord(object);
  if (initializing) {
    word = initializing;
  } else {
    let running = false;
    for (const container of asObjects(status['containerStatuses']).toReversed()) {
      const state = asObject(container['state']);
      const waiting = asString(asObject(state['waiting'])['reason']);
      const terminated = asObject(state['terminated']);
      if (waiting) word = waiting;
      else if (state['terminated'] !== undefined) {
        word =
          asString(terminated['reason']) ||
          (terminated['signal'] ? `Signal:${terminated['signal']}` : `ExitCode:${terminated['exitCode']}`);
      } else if (container['ready'] === true && state['running'] !== undefined) running = true;
    }
    if (word === 'Completed' && running) {
      const ready = asObjects(status['conditions']).some(
        (each) => each['type'] === 'Ready' && each['status'] === 'True',
      );
      word = ready ? 'Running' : 'NotReady';
    }
  }
  if (object.metadata.deletionTimestamp) {
    if (status['reason'] === 'NodeLost') return 'Unknown';
    if (status['phase'] !== 'Failed' && status['phase'] !== 'Succeeded') return 'Terminating';
  }
  return word;
}

function restarts(object: ApiObject, now: number): string {
  const sidecars = new Set(
    asObjects(at(object, 'spec', 'initContainers'))
      .filter(restartable)
      .map((each) => each['name']),
  );
  const statuses = [
    ...asObjects(at(object, 'status', 'containerStatuses')),
    ...asObjects(at(object, 'status', 'initContainerStatuses')).filter((each) => sidecars.has(each['name'])),
  ];
  let total = 0;
  let last = '';
  for (const status of statuses) {
    total += typeof status['restartCount'] === 'number' ? status['restartCount'] : 0;
    const finished = asString(at(status, 'lastState', 'terminated', 'finishedAt'));
    if (finished > last) last = finished;
  }
  return total > 0 && last ? `${total} (${age(last, now)} ago)` : String(total);
}

function readyCount(object: ApiObject): string {
  const sidecars = asObjects(at(object, 'spec', 'initContainers')).filter(restartable);
  const names = new Set(sidecars.map((each) => each['name']));
  const total = asObjects(at(object, 'spec', 'containers')).length + sidecars.length;
  const statuses = [
    ...asObjects(at(object, 'status', 'containerStatuses')),
    ...asObjects(at(object, 'status', 'initContainerStatuses')).filter((each) => names.has(each['name'])),
  ];
  const ready = statuses.filter(
    (each) => each['ready'] === true && at(each, 'state', 'running') !== undefined,
  );
  return `${ready.length}/${total}`;
}

function readinessGates(object: ApiObject): string {
  const gates = asObjects(at(object, 'spec', 'readinessGates'));
  if (gates.length === 0) return '<none>';
  const conditions = asObjects(at(object, 'status', 'conditions'));
  const passed = gates.filter((gate) =>
    conditions.some((each) => each['type'] === gate['conditionType'] && each['status'] === 'True'),
  );
  return `${passed.length}/${gates.length}`;
}

export const podPrinter: TablePrinter = {
  columns: [
    { name: 'Name', type: 'string', format: 'name' },
    { name: 'Ready', type: 'string' },
    { name: 'Status', type: 'string' },
    { name: 'Restarts', type: 'string' },
    { name: 'Age', type: 'string' },
    { name: 'IP', type: 'string', priority: 1 },
    { name: 'Node', type: 'string', priority: 1 },
    { name: 'Nominated Node', type: 'string', priority: 1 },
    { name: 'Readiness Gates', type: 'string', priority: 1 },
  ],
  cells: (object, now) => [
    object.metadata.name ?? '',
    readyCount(object),
    podWord(object),
    restarts(object, now),
    age(object.metadata.creationTimestamp, now),
    asString(at(object, 'status', 'podIP')) || '<none>',
    asString(at(object, 'spec', 'nodeName')) || '<none>',
    asString(at(object, 'status', 'nominatedNodeName')) || '<none>',
    readinessGates(object),
  ],
};
