import { existsSync } from 'node:fs';
import { constants } from 'node:os';
import path from 'node:path';

import { BackendError } from '../errors.js';
import { messageOf } from './started.js';

/** The parts of the WebGPU interface used here. */
export interface GpuAdapter {
  readonly info: AdapterInfo;
  readonly features: ReadonlySet<string>;
  readonly limits: Readonly<Record<string, number>>;
  requestDevice(asked: { readonly requiredFeatures?: readonly string[]; readonly requiredLimits?: Readonly<Record<string, number>> }): Promise<object>;
}
export interface AdapterInfo {
  readonly vendor: string;
  readonly architecture: string;
  readonly description: string;
  readonly isFallbackAdapter?: boolean;
  readonly subgroupMinSize?: number;
  readonly subgroupMaxSize?: number;
  /** Products of matrix units, where the adapter offers them. */
  readonly subgroupMatrixConfigs?: Iterable<{ readonly componentType: string; readonly resultComponentType: string; readonly M: number; readonly N: number; readonly K: number }>;
}
export interface Gpu {
  requestAdapter(options?: { powerPreference?: 'high-performance' }): Promise<GpuAdapter | null>;
}

/** The optional package `webgpu`: Dawn, the implementation of Chromium, for Node.js. */
interface Dawn {
  create(options: string[]): Gpu;
  readonly globals: Readonly<Record<string, unknown>>;
}

/** An adapter to compute on. */
export interface ChosenAdapter {
  readonly gpu: Gpu;
  readonly device: string;
  readonly software: boolean;
}

/** Folders in which Chromium and Chrome keep a Vulkan loader and a driver that computes on the CPU. */
const BROWSER_FOLDERS = ['/usr/lib/chromium', '/usr/lib/chromium-browser', '/usr/lib64/chromium-browser', '/opt/google/chrome', '/opt/chromium'];
const LOADER = 'libvulkan.so.1';
const SOFTWARE_DRIVER = 'vk_swiftshader_icd.json';
/** RTLD_NODELETE of Linux: a library stays loaded although Node.js finds that it is no module of its own. */
const KEEP_LOADED = 0x1000;

/**
 * Finds a WebGPU adapter: hardware if there is one, else, where allowed, a software one (the driver that VK_DRIVER_FILES names,
 * or the one an installed browser brings).
 * @throws BackendError that says what is missing.
 */
export async function findAdapter(allowSoftware: boolean): Promise<ChosenAdapter> {
  const dawn = await loadDawn();
  const isLinux = process.platform === 'linux';
  const hasLoader = !isLinux || canLoad(LOADER);
  if (hasLoader) {
    const found = await request(dawn);
    if (found !== null && (!found.software || allowSoftware)) return found;
  }
  if (!allowSoftware) {
    const why = hasLoader ? 'no hardware adapter answers' : `no Vulkan loader (${LOADER}) is installed, so no hardware adapter answers`;
    throw new BackendError(why, { suggestions: ['--backend webgpu (allows a software adapter)', '--backend wasm'] });
  }
  const software = isLinux && useBrowserDriver(hasLoader) ? await request(dawn) : null;
  if (software !== null) return software;
  throw new BackendError('no WebGPU adapter, neither hardware nor software', {
    suggestions: ['apt install libvulkan1 mesa-vulkan-drivers', '--backend wasm'],
  });
}

async function loadDawn(): Promise<Dawn> {
  const name: string = 'webgpu'; // optional: must not be resolved when this file is compiled
  try {
    const dawn = (await import(name)) as Dawn;
    for (const [key, value] of Object.entries(dawn.globals)) {
      if (!(key in globalThis)) Object.defineProperty(globalThis, key, { value, configurable: true, writable: true });
    }
    return dawn;
  } catch (cause) {
    const missing = (cause as NodeJS.ErrnoException).code === 'ERR_MODULE_NOT_FOUND';
    const what = missing ? 'the optional package "webgpu" is not installed' : `the package "webgpu" does not load here: ${messageOf(cause)}`;
    throw new BackendError(what, { cause, suggestions: ['npm install webgpu', '--backend wasm'] });
  }
}

/**
 * Workgroup memory starts as zeros. Written by the code of a kernel, in a loop, that costs nothing; left to the driver, SwiftShader unrolls it, and a kernel with
 * 13 KB of it takes 0.7 s to compile instead of 0.04.
 *
 * Dawn is made to offer what it holds back: subgroup matrices, which are experimental, and float16 on NVIDIA, where some drivers compute wrong. Both
 * are used only after `verifyHalfProducts`. "Unsafe" they are for shaders of strangers; all of ours are in this project.
 */
const DAWN_OPTIONS = ['disable-dawn-features=use_vulkan_zero_initialize_workgroup_memory_extension', 'enable-dawn-features=allow_unsafe_apis,vulkan_enable_f16_on_nvidia'];

/**
 * Every instance of Dawn that was made. One that is collected as garbage while an event of its own is still scheduled is used after it
 * was freed and ends the process, so also those whose adapter was not taken live as long as it does.
 */
const instances: Gpu[] = [];

async function request(dawn: Dawn): Promise<ChosenAdapter | null> {
  const gpu = dawn.create(DAWN_OPTIONS);
  instances.push(gpu);
  const adapter = await gpu.requestAdapter({ powerPreference: 'high-performance' });
  if (adapter === null) return null;
  const { vendor, architecture, description, isFallbackAdapter } = adapter.info;
  const name = [vendor, architecture, description].filter((part) => part !== '').join(' ');
  const software = isFallbackAdapter === true || /swiftshader|llvmpipe|lavapipe|basic render/i.test(name);
  return { gpu, device: software ? `${name} (software adapter)` : name, software };
}

/** Points the Vulkan loader at a browser's software driver, unless the user has named one. False when there is none. */
function useBrowserDriver(hasLoader: boolean): boolean {
  const named = process.env['VK_DRIVER_FILES'] !== undefined || process.env['VK_ICD_FILENAMES'] !== undefined;
  if (named && hasLoader) return false; // it was asked already
  const folder = BROWSER_FOLDERS.find((candidate) =>
    existsSync(path.join(candidate, SOFTWARE_DRIVER)) && (hasLoader || existsSync(path.join(candidate, LOADER))));
  if (folder === undefined) return false;
  if (!named) process.env['VK_DRIVER_FILES'] = path.join(folder, SOFTWARE_DRIVER);
  // A loaded library is found by its name alone, so Dawn finds the loader that is not on the system's path.
  return hasLoader || canLoad(path.join(folder, LOADER));
}

/** Whether the system's linker can load a shared library (which is not a Node.js module). */
function canLoad(library: string): boolean {
  try {
    process.dlopen({ exports: {} }, library, constants.dlopen.RTLD_NOW | constants.dlopen.RTLD_GLOBAL | KEEP_LOADED);
    return true;
  } catch (error) {
    return messageOf(error).includes('did not self-register');
  }
}
