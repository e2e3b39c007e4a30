/** The same kernels over shared memory, and the barrier between them. */
export * from './index';
export { barrier } from './barrier';
