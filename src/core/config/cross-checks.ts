import type { CorpusSettings, DistillConfig, TeacherConfig, TrainSettings } from './schema.js';

/** Two or more keys that contradict each other; `keys[0]` is where the message points. */
export interface CrossProblem {
  readonly keys: readonly [string, ...string[]];
  readonly message: string;
  readonly suggestion: string;
}

function checkCorpus(corpus: CorpusSettings): CrossProblem[] {
  if (corpus.kind === 'text' && corpus.train === null) {
    return [{ keys: ['corpus.train', 'corpus.kind'], message: 'corpus.kind is text, but corpus.train names no file',
      suggestion: 'Set corpus.train to a UTF-8 text file, or corpus.kind to stories' }];
  }
  if (corpus.kind === 'stories' && (corpus.train !== null || corpus.valid !== null)) {
    const key = corpus.train !== null ? 'corpus.train' : 'corpus.valid';
    return [{ keys: [key, 'corpus.kind'], message: `corpus.kind is stories, but ${key} names a file that would not be read`,
      suggestion: `Set ${key} to null, or corpus.kind to text` }];
  }
  return [];
}

function checkTrain(train: TrainSettings): CrossProblem[] {
  if (train.warmupSteps < train.steps) return [];
  return [{ keys: ['train.warmupSteps', 'train.steps'],
    message: `train.warmupSteps (${train.warmupSteps}) must be below train.steps (${train.steps})`,
    suggestion: `Set train.warmupSteps to ${Math.floor(train.steps * 0.06)}` }];
}

function checkHeads(prefix: string, shape: { hiddenSize: number | null; heads: number | null }): CrossProblem[] {
  const { hiddenSize, heads } = shape;
  if (hiddenSize === null || heads === null || hiddenSize % heads === 0) return [];
  return [{ keys: [`${prefix}.heads`, `${prefix}.hiddenSize`],
    message: `${prefix}.heads (${heads}) must divide ${prefix}.hiddenSize (${hiddenSize})`,
    suggestion: `Set ${prefix}.hiddenSize to ${Math.ceil(hiddenSize / heads) * heads}` }];
}

function checkMap(map: readonly number[] | null, count: number | null, keys: readonly [string, string]): CrossProblem[] {
  if (map === null || count === null || map.length === count) return [];
  return [{ keys, message: `${keys[0]} has ${map.length} entries, but ${keys[1]} is ${count}`, suggestion: `Give ${keys[0]} ${count} entries, or null` }];
}

function checkLosses(config: DistillConfig): CrossProblem[] {
  const { attention, feature, ...others } = config.distill.weights;
  if (Object.values(others).some((weight) => weight > 0)) return [];
  if (attention + feature > 0 && config.teacherCache.enabled) {
    return [{ keys: ['teacherCache.enabled', 'distill.weights.softTarget'], message: 'a teacher cache holds nothing for distill.weights.attention and feature, and the other weights are 0: nothing to learn',
      suggestion: 'Set distill.weights.softTarget to 0.3, or teacherCache.enabled to false' }];
  }
  if (attention + feature > 0) return [];
  return [{ keys: ['distill.weights.hardTarget', 'distill.weights.softTarget'], message: 'every weight in distill.weights is 0: nothing to learn',
    suggestion: 'Set distill.weights.hardTarget to 0.3 and distill.weights.softTarget to 0.3' }];
}

/** Only learned neurons can be calibrated, and a fit to the teacher goes through calibrated neurons. */
function checkStart({ init, learnedNeurons }: DistillConfig['student']): CrossProblem[] {
  if (learnedNeurons || init === 'random') return [];
  return [{ keys: ['student.init', 'student.learnedNeurons'], message: `student.init ${init} needs learned neurons, but student.learnedNeurons is false`,
    suggestion: 'Set student.init to random, or student.learnedNeurons to true' }];
}

/** Contradictions between keys of a distillation run that need no file to be seen. */
export function crossCheckDistill(config: DistillConfig): CrossProblem[] {
  const { student, distill } = config;
  return [
    ...checkCorpus(config.corpus), ...checkTrain(config.train), ...checkHeads('student', student), ...checkStart(student), ...checkLosses(config),
    ...checkMap(distill.layerMap, student.layers, ['distill.layerMap', 'student.layers']),
    ...checkMap(distill.headMap, student.heads, ['distill.headMap', 'student.heads']),
  ];
}

/** Contradictions between keys of a teacher training run. */
export function crossCheckTeacher(config: TeacherConfig): CrossProblem[] {
  const { model, train } = config;
  const tooLong: CrossProblem[] = train.context <= model.contextLength ? [] : [{
    keys: ['train.context', 'model.contextLength'],
    message: `train.context (${train.context}) must be at most model.contextLength (${model.contextLength})`,
    suggestion: `Set train.context to ${model.contextLength}`,
  }];
  return [...checkCorpus(config.corpus), ...checkTrain(train), ...checkHeads('model', model), ...tooLong];
}
