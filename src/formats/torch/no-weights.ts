import {
  type Fail,
  formatPythonName,
  OpaqueObject,
  PickledTensor,
  type PickleValue,
  quote,
  UnknownName,
} from './pickle-values.js';

/** The error for an object without weights: what it is. */
export function makeNoWeightsError(top: PickleValue, fail: Fail): Error {
  const save = 'Save the weights in Python: torch.save(model.state_dict(), "weights.pt").';
  if (top instanceof Map) {
    const some = [...top].slice(0, 8).map(([key, value]) => quote(describeKey(key)) + describePickledObject(value));
    const list = some.length === 0 ? '' : `, only ${some.join(', ')}${top.size > 8 ? ', …' : ''}`;
    return fail(`it holds no named tensors${list}. ${save}`);
  }
  const found =
    top instanceof PickledTensor
      ? 'a single tensor'
      : top instanceof OpaqueObject || top instanceof UnknownName
        ? `the Python object ${formatPythonName(top.name)}, whose class is not known here and not run`
        : 'no dictionary';
  return fail(`it holds ${found}, but a state dict is needed. ${save}`);
}

function describeKey(key: PickleValue): string {
  return typeof key === 'object' && key !== null ? 'an object' : String(key);
}

function describePickledObject(value: PickleValue): string {
  return value instanceof OpaqueObject || value instanceof UnknownName
    ? ` (the Python object ${formatPythonName(value.name)}, whose class is not known here and not run)`
    : '';
}
