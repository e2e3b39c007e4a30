/** Prints, as JSON, the adapter that the WebGPU backend takes here: its name, features and limits, and those of the device made of it. Fails where there is none. */
import * as tf from '@tensorflow/tfjs-core';

import { findAdapter } from '../../src/core/backend/webgpu-adapter.js';
import type { GpuBackend } from '../../src/core/backend/webgpu-kernels/gpu.js';
import { prepareBackend } from '../../src/core/pipeline/prepare-backend.js';
import { describeMachine } from './machine.js';

const { gpu, device: name, software } = await findAdapter(true);
const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
const limitsOf = (limits: Readonly<Record<string, number>>): Record<string, number> => {
  const names: string[] = [];
  for (const key in limits) if (typeof limits[key] === 'number') names.push(key); // getters of the prototype
  return Object.fromEntries(names.sort().map((key) => [key, limits[key] as number]));
};
/** Everything the adapter says of itself, subgroup sizes and matrix shapes included. */
const { info } = (adapter ?? {}) as { readonly info?: object };
const described: Record<string, unknown> = {};
for (const key in info) described[key] = (info as Record<string, unknown>)[key];
const { reason } = await prepareBackend('webgpu');
const { device } = tf.backend() as unknown as GpuBackend;
const offered = { features: [...(adapter?.features ?? [])].sort(), limits: limitsOf(adapter?.limits ?? {}) };
process.stdout.write(`${JSON.stringify({
  name, software, reason, info: described, machine: describeMachine(), adapter: offered, device: { features: [...device.features].sort(), limits: limitsOf(device.limits) },
}, null, 2)}\n`);
