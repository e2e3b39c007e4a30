/** Name of the resolved configuration in a run folder. */
export const RESOLVED_CONFIG = 'config.resolved.yaml';
