import { readFile } from 'node:fs/promises';
import path from 'node:path';

import { stringify } from 'yaml';
import type { z } from 'zod';

import { ConfigError } from '../errors.js';
import type { CrossProblem } from './cross-checks.js';
import { crossCheckDistill, crossCheckTeacher } from './cross-checks.js';
import type { ConfigKind } from './json-schema.js';
import { configJsonSchema } from './json-schema.js';
import type { ConfigLayer, PlainObject } from './layers.js';
import { mergeLayers, objectLayer, overrideLayer, placeOf, valueAt, yamlLayer } from './layers.js';
import { presetLayer } from './presets.js';
import { describeIssues, problemsError } from './problems.js';
import type { DistillConfig, TeacherConfig } from './schema.js';
import { distillConfigSchema, teacherConfigSchema } from './schema.js';
import { shippedConfigsFolder } from './shipped.js';
import { PRESET_NAMES } from './student-settings.js';

/** Where a configuration comes from; later wins: schema default < preset < file < overrides < flags. */
export interface ConfigSources {
  /** YAML file. */ readonly file: string;
  /** `--set` values, `key.path=value`, in the order typed. */ readonly overrides?: readonly string[];
  /** Values of command line flags that stand for keys. */ readonly flags?: PlainObject;
}

interface Kind<Config> {
  readonly kind: ConfigKind;
  readonly schema: z.ZodType<Config>;
  readonly crossCheck: (config: Config) => CrossProblem[];
}

/** Reads and checks what a distillation run needs, before anything else is loaded.
 *  @throws ConfigError naming key, place, finding, range and nearest key. @throws UsageError on a malformed override. */
export async function loadDistillConfig(sources: ConfigSources): Promise<DistillConfig> {
  return load({ kind: 'distill', schema: distillConfigSchema, crossCheck: crossCheckDistill }, sources);
}

/** Reads and checks what a teacher training run needs. @throws ConfigError, UsageError as `loadDistillConfig` does. */
export async function loadTeacherConfig(sources: ConfigSources): Promise<TeacherConfig> {
  return load({ kind: 'teacher', schema: teacherConfigSchema, crossCheck: crossCheckTeacher }, sources);
}

async function load<Config>(kind: Kind<Config>, sources: ConfigSources): Promise<Config> {
  const file = yamlLayer(await readConfigFile(sources.file), sources.file);
  const given = [file, ...(sources.overrides ?? []).map(overrideLayer), objectLayer('command line', sources.flags ?? {})];
  const layers = [...presetLayers(kind.kind, given), ...given];
  const parsed = kind.schema.safeParse(mergeLayers(layers));
  if (!parsed.success) {
    throw problemsError(describeIssues(parsed.error.issues, { schema: configJsonSchema(kind.kind), layers, file: sources.file }));
  }
  const contradictions = kind.crossCheck(parsed.data);
  if (contradictions.length > 0) throw contradictionsError(contradictions, layers, sources.file);
  return parsed.data;
}

function presetLayers(kind: ConfigKind, given: readonly ConfigLayer[]): ConfigLayer[] {
  if (kind !== 'distill') return [];
  const wanted = valueAt(mergeLayers(given), ['student', 'preset']);
  return PRESET_NAMES.filter((name) => name === wanted).map(presetLayer);
}

function contradictionsError(contradictions: readonly CrossProblem[], layers: readonly ConfigLayer[], file: string): ConfigError {
  return problemsError(contradictions.map(({ keys, message, suggestion }) => {
    const place = keys.map((key) => placeOf(layers, key.split('.'))).find((found) => found !== null) ?? file;
    return { message: `${place}: ${message}`, suggestion };
  }));
}

async function readConfigFile(file: string): Promise<string> {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(await readFile(file));
  } catch (cause) {
    const { code } = cause as NodeJS.ErrnoException;
    if (code === 'ENOENT') {
      throw new ConfigError(`No configuration file at ${path.resolve(file)}`, {
        cause, suggestions: [`Recipes that ship with bispik are in ${shippedConfigsFolder()}`] });
    }
    if (cause instanceof TypeError) throw new ConfigError(`${file} is not UTF-8 text`, { cause, suggestions: ['Name a YAML file'] });
    throw new ConfigError(`${file} cannot be read: ${(cause as Error).message}`, { cause });
  }
}

/** The resolved configuration as YAML; reading it back gives the same configuration. */
export function configToYaml(config: DistillConfig | TeacherConfig): string {
  return stringify(config);
}
