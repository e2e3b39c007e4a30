import { createHash } from 'node:crypto';

import { z } from 'zod';

import type { SchemaNode } from '../../config/json-schema.js';
import { yamlLayer } from '../../config/layers.js';
import { describeIssues, problemsError } from '../../config/problems.js';
import { ConfigError } from '../../errors.js';
import type { PreparationName } from './prepare.js';
import type { TaskForm, TaskSettings } from './task-schema.js';
import { FORM_KEYS, METRICS_OF, taskSchema } from './task-schema.js';
import type { Template } from './template.js';
import { compileTemplate } from './template.js';

/** A form with its templates read. */
export interface CompiledForm {
  readonly prepare: PreparationName | null;
  readonly templates: Readonly<Partial<Record<Exclude<keyof TaskForm, 'prepare' | 'choices'>, Template>>>;
  /** One template of a list, or one template a choice; null where the type has no choices. */ readonly choices: Template | readonly Template[] | null;
  /** Every field the templates need. */ readonly fields: readonly (readonly string[])[];
}

/** A task, ready to read items. */
export interface Task extends Omit<TaskSettings, 'forms'> {
  readonly forms: readonly CompiledForm[];
  /** Where the task stands. */ readonly file: string;
  /** SHA-256 of the file's text. */ readonly hash: string;
}

/** JSON Schema of a task file. */
export function taskJsonSchema(): SchemaNode {
  return z.toJSONSchema(taskSchema, {
    io: 'input',
    override: ({ jsonSchema }) => { if (jsonSchema.maximum === Number.MAX_SAFE_INTEGER) delete jsonSchema.maximum; },
  }) as SchemaNode;
}

/** Reads a task from the text of its file. @throws ConfigError naming file, line, key, what was found and the nearest key. */
export function parseTask(text: string, file: string): Task {
  const layer = yamlLayer(text, file);
  const parsed = taskSchema.safeParse(layer.values);
  if (!parsed.success) throw problemsError(describeIssues(parsed.error.issues, { schema: taskJsonSchema(), layers: [layer], file }));
  const settings = parsed.data;
  for (const { metric } of settings.metrics) {
    const allowed = METRICS_OF[settings.output_type];
    if (!allowed.includes(metric)) throw new ConfigError(`${file}: ${settings.output_type} cannot measure ${metric}`, { suggestions: [`Metrics of ${settings.output_type}: ${allowed.join(', ')}`] });
  }
  const forms = settings.forms.map((form, i) => compileForm(settings, form, `${layer.placeOf(['forms', i]) ?? file}: forms[${i}]`));
  return { ...settings, forms, file, hash: createHash('sha256').update(text).digest('hex') };
}

function compileForm({ output_type: type }: TaskSettings, form: TaskForm, place: string): CompiledForm {
  const needed = FORM_KEYS[type];
  const { prepare = null, choices, ...texts } = form;
  const given = Object.keys(form).filter((key) => key !== 'prepare');
  const missing = needed.filter((key) => !given.includes(key));
  const foreign = given.filter((key) => !(needed as readonly string[]).includes(key));
  if (missing.length > 0 || foreign.length > 0) {
    const found = [...missing.map((key) => `${key} is missing`), ...foreign.map((key) => `${key} has no meaning`)].join(', ');
    throw new ConfigError(`${place}: ${found} for the output type ${type}`, { suggestions: [`A form of ${type} has the keys ${needed.join(', ')}`] });
  }
  const read = (source: string): Template => readTemplate(source, place);
  const templates = Object.fromEntries(Object.entries(texts).flatMap(([key, source]) => (source === undefined ? [] : [[key, read(source)]]))) as CompiledForm['templates'];
  const compiled = choices === undefined ? null : typeof choices === 'string' ? read(choices) : choices.map(read);
  const all = [...Object.values(templates).filter((found) => found !== undefined), ...(compiled === null ? [] : [compiled].flat())];
  return { prepare, templates, choices: compiled, fields: all.flatMap(({ fields }) => fields) };
}

function readTemplate(source: string, place: string): Template {
  try {
    return compileTemplate(source);
  } catch (error) {
    if (error instanceof ConfigError) throw new ConfigError(`${place}: ${error.message}`, { cause: error, suggestions: error.suggestions });
    throw error;
  }
}
