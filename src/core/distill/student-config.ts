import type { DistillConfig } from '../config/schema.js';
import { resolveStudentShape } from '../config/check-teacher.js';
import type { StudentConfig } from '../student/config.js';
import type { OptConfig } from '../teacher/config.js';

/** What the student of a run computes: its settings, and the teacher's shape and special tokens. */
export function studentConfigOf(config: DistillConfig, teacher: OptConfig): StudentConfig {
  const { student } = config;
  return {
    ...resolveStudentShape(student, teacher),
    neuron: {
      timeSteps: student.timeSteps, decay: student.decay, threshold: student.threshold, reset: student.reset,
      surrogate: student.surrogate, surrogateAlpha: student.surrogateAlpha, detachReset: student.detachReset,
    },
    residualWrite: student.residualWrite,
    learnedNeurons: student.learnedNeurons,
    onOff: student.onOff,
    relativeBias: student.relativeBias,
    embeddingGain: student.embeddingGain,
    layerNormEps: teacher.layerNormEps,
    bosId: teacher.bosId,
    eosId: teacher.eosId,
    padId: teacher.padId,
  };
}
