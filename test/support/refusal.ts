import { ShiboriError } from '../../src/errors.js';

/** Gives the error that something is refused with; fails for a success and for any other kind of error. */
export async function refusalOf(work: Promise<unknown>): Promise<ShiboriError> {
  try {
    await work;
  } catch (error) {
    if (!(error instanceof ShiboriError)) throw error;
    return error;
  }
  throw new Error('It was not refused.');
}
