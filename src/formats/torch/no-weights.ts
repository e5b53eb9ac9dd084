import { type Fail, Opaque, PickledTensor, quote, shownName, UnknownName, type Value } from './values.js';

/** The error for an object without weights: what it is. */
export function noWeights(top: Value, fail: Fail): Error {
  const save = 'Save the weights in Python: torch.save(model.state_dict(), "weights.pt").';
  if (top instanceof Map) {
    const some = [...top].slice(0, 8).map(([key, value]) => quote(keyName(key)) + describe(value));
    const list = some.length === 0 ? '' : `, only ${some.join(', ')}${top.size > 8 ? ', …' : ''}`;
    return fail(`it holds no named tensors${list}. ${save}`);
  }
  const found =
    top instanceof PickledTensor
      ? 'a single tensor'
      : top instanceof Opaque || top instanceof UnknownName
        ? `the Python object ${shownName(top.name)}, whose class is not known here and not run`
        : 'no dictionary';
  return fail(`it holds ${found}, but a state dict is needed. ${save}`);
}

function keyName(key: Value): string {
  return typeof key === 'object' && key !== null ? 'an object' : String(key);
}

function describe(value: Value): string {
  return value instanceof Opaque || value instanceof UnknownName
    ? ` (the Python object ${shownName(value.name)}, whose class is not known here and not run)`
    : '';
}
