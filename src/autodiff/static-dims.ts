import { ShiboriError } from '../errors.js';
import { formatDims, isStatic } from '../graph/dims.js';
import type { Value } from '../graph/model.js';

/** The static dimensions of a value. Throws when one is symbolic: bind the input dimensions first. */
export function readStaticDims(value: Value): readonly number[] {
  const dims = value.type?.dims;
  if (dims && isStatic(dims)) return dims;
  throw new ShiboriError(
    `Gradients need fixed dimensions, but "${value.name}" has ${formatDims(dims)}. Bind the input dimensions first (bindInputs).`,
    { code: 'no-gradient' },
  );
}
