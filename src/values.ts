/** A type whose properties that may be `undefined` are optional instead. */
export type Defined<T> = { [K in keyof T as undefined extends T[K] ? never : K]: T[K] } & {
  [K in keyof T as undefined extends T[K] ? K : never]?: Exclude<T[K], undefined>;
};

/**
 * Drops the properties of an object that are `undefined`, as optional properties want it.
 *
 * @example
 * ```ts
 * defined({ layer: undefined, target: 3 }); // { target: 3 }
 * ```
 */
export function defined<T extends object>(object: T): Defined<T> {
  return Object.fromEntries(Object.entries(object).filter(([, value]) => value !== undefined)) as Defined<T>;
}

/**
 * Reads an element whose index is known to be valid.
 *
 * @throws Error for an index out of range, which is a fault of the program.
 */
export function at<T>(array: ArrayLike<T>, index: number): T {
  const value = array[index];
  if (value === undefined) throw new Error(`Index ${index} is out of range: there are ${array.length} elements.`);
  return value;
}
