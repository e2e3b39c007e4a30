import type { DecodingSession, LanguageModel } from '../types.js';

/**
 * A session without an end: where the context is full it forgets the older half and reads the rest again from position 0, since
 * positions are learned and absolute. The work of reading again is counted.
 */
export function slidingSession(model: LanguageModel): DecodingSession {
  return slide(model, model.openSession(), []);
}

function slide(model: LanguageModel, start: DecodingSession, read: readonly number[]): DecodingSession {
  const { contextLength } = model.shape;
  let session = start;
  let window = [...read];
  return {
    get length() { return session.length; },
    append: (ids) => {
      if (session.length + ids.length <= contextLength) {
        window.push(...ids);
        return session.append(ids);
      }
      window = [...window, ...ids].slice(-Math.ceil(contextLength / 2));
      session.dispose();
      session = model.openSession();
      return session.append(window);
    },
    fork: () => slide(model, session.fork(), window),
    dispose: () => session.dispose(),
  };
}
