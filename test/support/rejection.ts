import { AssertionError, expect } from 'chai';

import type { BispikError } from '../../src/core/errors.js';

type ErrorClass = abstract new (...parameters: never[]) => BispikError;

/** Waits for a promise that must reject with this class; returns the error for further checks. */
export async function rejection(promise: Promise<unknown>, errorClass: ErrorClass): Promise<BispikError> {
  let thrown: unknown;
  try {
    await promise;
  } catch (error) {
    thrown = error;
  }
  if (thrown === undefined) throw new AssertionError(`expected a ${errorClass.name}, but nothing was thrown`);
  expect(thrown).to.be.instanceOf(errorClass);
  return thrown as BispikError;
}
