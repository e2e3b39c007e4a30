import type { DistillConfig } from '../config/schema.js';
import { parameterShapes } from '../student/parameters.js';
import type { OptConfig } from '../teacher/config.js';
import { expectedOptTensors } from '../teacher/opt.js';
import type { StepSizes } from './memory-estimate.js';
import { studentConfigOf } from './student-config.js';

const count = (shapes: Iterable<readonly number[]>): number => Array.from(shapes).reduce((sum, shape) => sum + shape.reduce((a, b) => a * b, 1), 0);

/** Sizes of the steps of a run, from its configuration and its teacher's. @param kernels what the backend has kernels for. */
export function stepSizes(config: DistillConfig, teacher: OptConfig, kernels: Pick<StepSizes, 'streamsAttention' | 'hasHeadKernel'>): StepSizes {
  const student = studentConfigOf(config, teacher);
  const { batch, context, accumulate } = config.train;
  const { weights, attentionForm, featureForm } = config.distill;
  const differ = student.hiddenSize !== teacher.hiddenSize;
  const projections = (differ ? 1 : 0) + (differ || featureForm === 'projected' ? 1 : 0);
  return {
    student, teacher, batch, context, accumulate, recompute: config.train.recompute === 'blocks' ? 'blocks' : 'none', ...kernels,
    trained: count(parameterShapes(student).values()) + projections * student.hiddenSize * teacher.hiddenSize + (featureForm === 'projected' ? teacher.hiddenSize ** 2 : 0),
    frozen: count(Array.from(expectedOptTensors(teacher), ({ shape }) => shape)),
    attentionLoss: weights.attention === 0 ? null : attentionForm, hasFeatureLoss: weights.feature !== 0,
  };
}
