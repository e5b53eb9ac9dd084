/** Number of elements of a tensor with these dimensions (1 for a scalar, `[]`). */
export function countElements(dims: readonly number[]): number {
  let size = 1;
  for (const dim of dims) size *= dim;
  return size;
}

/** Row-major strides, in elements. */
export function computeStrides(dims: readonly number[]): number[] {
  const strides = new Array<number>(dims.length);
  let stride = 1;
  for (let axis = dims.length - 1; axis >= 0; axis--) {
    strides[axis] = stride;
    stride *= dims[axis] ?? 1;
  }
  return strides;
}

/** `axis` counted from the front: negative axes count from the end, as in ONNX. */
export function normalizeAxis(axis: number, rank: number): number {
  return axis < 0 ? axis + rank : axis;
}

/** Whether two dimension lists are the same. */
export function areDimsEqual<D>(a: readonly D[], b: readonly D[]): boolean {
  return a.length === b.length && a.every((dim, axis) => dim === b[axis]);
}

/** The numbers `0 … count - 1`. */
export function range(count: number): number[] {
  return Array.from({ length: count }, (_, i) => i);
}
