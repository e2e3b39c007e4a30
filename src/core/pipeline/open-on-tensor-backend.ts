import type { BackendName } from '../config/schema.js';
import { readStudent } from '../student/folder.js';
import { studentLanguageModel } from '../student/language-model.js';
import { teacherLanguageModel } from '../teacher/language-model.js';
import { uploadTeacher } from '../teacher/parameters.js';
import { loadTeacher } from '../teacher/weights.js';
import type { LanguageModel } from '../types.js';
import type { ModelFolder } from './open-model.js';
import { prepareBackend } from './prepare-backend.js';

/** Starts a tensor backend and puts a model on it: a dense one, or a student on the graph it was trained with. */
export async function openOnTensorBackend({ kind, folder }: ModelFolder, backend: BackendName): Promise<LanguageModel> {
  await prepareBackend(backend);
  if (kind === 'student') return studentLanguageModel(await readStudent(folder));
  return teacherLanguageModel(uploadTeacher(await loadTeacher(folder)));
}
