/** Public API: what the commands call, with the types of what goes in and what comes out. Nothing here prints or exits. */
export { loadDistillConfig, loadTeacherConfig } from './core/config/load.js';
export type { ConfigSources } from './core/config/load.js';
export type { BackendName, DistillConfig, TeacherConfig } from './core/config/schema.js';
export * from './core/errors.js';
export { silentReporter } from './core/types.js';
export type { LanguageModel, ProgressEvent, Reporter, RunContext } from './core/types.js';
export { probeBackends } from './core/backend/select.js';
export { importTeacher } from './core/pipeline/import-teacher.js';
export { trainTeacher } from './core/pipeline/train-teacher.js';
export type { TrainTeacherReport } from './core/pipeline/train-teacher.js';
export { distill } from './core/pipeline/distill.js';
export { evaluateModel } from './core/pipeline/evaluate-model.js';
export type { EvaluateModelOptions, ModelEvaluation } from './core/pipeline/evaluate-model.js';
export type { TaskOptions, TasksReport } from './core/pipeline/evaluate-tasks.js';
export type { MetricReport, TaskReport } from './core/eval/tasks/run-task.js';
export type { EvalReport } from './core/eval/evaluate.js';
export { generateText } from './core/pipeline/generate-text.js';
export type { GenerateTextOptions, GenerateTextReport } from './core/pipeline/generate-text.js';
