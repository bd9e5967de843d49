/** The router's folder: what HAProxy reads at a start, and the last known inputs for an agent that starts without an API. */
import { mkdir, readFile, rename, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { files, type Limits, renderConfig } from './config.ts';
import { firstUnits, rateRange, sampleRange } from './latency.ts';
import { renderMaps } from './maps.ts';
import type { Inputs, State } from './state.ts';

const inputsFile = 'inputs.json';

export async function prepareFolder(folder: string): Promise<void> {
  await mkdir(folder, { recursive: true, mode: 0o700 });
}

/** Writes the configuration and all maps, each whole or not at all. */
export async function writeState(folder: string, state: State, limits: Limits): Promise<void> {
  const contents = {
    ...renderMaps(state),
    [files.config]: renderConfig(state, limits),
    [files.samples]: `${sampleRange(firstUnits)}\n`,
    [files.rates]: `${rateRange(firstUnits)}\n`,
  };
  await Promise.all(Object.entries(contents).map(([name, text]) => replaceFile(folder, name, text)));
}

export async function saveInputs(folder: string, inputs: Inputs): Promise<void> {
  await replaceFile(folder, inputsFile, JSON.stringify(inputs));
}

/** Undefined when there are none, or none that can be read. */
export async function loadInputs(folder: string): Promise<Inputs | undefined> {
  try {
    const found: unknown = JSON.parse(await readFile(join(folder, inputsFile), 'utf8'));
    return isInputs(found) ? found : undefined;
  } catch {
    return undefined;
  }
}

function isInputs(value: unknown): value is Inputs {
  if (typeof value !== 'object' || value === null) return false;
  const { models, endpoints } = value as Partial<Inputs>;
  return Array.isArray(models) && Array.isArray(endpoints);
}

async function replaceFile(folder: string, name: string, text: string): Promise<void> {
  const path = join(folder, name);
  await writeFile(`${path}.new`, text, { mode: 0o600 });
  await rename(`${path}.new`, path);
}
