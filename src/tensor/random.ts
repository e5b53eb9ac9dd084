/*
 * Two sources of randomness, neither hidden nor global.
 *
 * `MersenneTwister` is MT19937 (Matsumoto and Nishimura 1998), drawn from exactly as PyTorch's CPU generator does, so
 * that a seed means here what it means there: the same permutations, splits and initial weights.
 *
 * `seeded(...)` is xoshiro128** (Blackman and Vigna 2021, "Scrambled linear pseudorandom number generators") started
 * from a hash of its keys: the stream of (seed, epoch, image) needs no history, so interrupted work continues from
 * counters alone.
 */
import { ShiboriError, UsageError } from '../errors.js';

const STATE_WORDS = 624;
const SHIFT_WORDS = 397;
/** From this size on, PyTorch fills normal samples in blocks of 16. */
const NORMAL_BLOCK = 16;
/** PyTorch draws one 32-bit number an element below this length; the bias of the remainder is then negligible. */
const RANDPERM_LIMIT = Math.floor(2 ** 32 / 20);

/** PyTorch's CPU generator: `new MersenneTwister(seed)` is `torch.Generator().manual_seed(seed)`. */
export class MersenneTwister {
  readonly #state = new Uint32Array(STATE_WORDS);
  #position = STATE_WORDS;
  #spareNormal: number | undefined;

  constructor(seed = 5489) {
    this.manualSeed(seed);
  }

  /** Starts the sequence of `seed`, an integer from 0 to 2^53 - 1 of which the lower 32 bits count, as in PyTorch. */
  manualSeed(seed: number): this {
    if (!Number.isSafeInteger(seed) || seed < 0) {
      throw new UsageError(`A seed must be an integer from 0 to 2^53 - 1, found ${seed}.`);
    }
    const state = this.#state;
    state[0] = seed >>> 0;
    for (let i = 1; i < STATE_WORDS; i++) {
      const previous = state[i - 1] as number;
      state[i] = Math.imul(1812433253, previous ^ (previous >>> 30)) + i;
    }
    this.#position = STATE_WORDS;
    this.#spareNormal = undefined;
    return this;
  }

  /** The next 32 bits, as an integer in [0, 2^32). */
  random32(): number {
    if (this.#position >= STATE_WORDS) this.#twist();
    let y = this.#state[this.#position++] as number;
    y ^= y >>> 11;
    y ^= (y << 7) & 0x9d2c5680;
    y ^= (y << 15) & 0xefc60000;
    return (y ^ (y >>> 18)) >>> 0;
  }

  /** The next 64 bits: two draws, the first of which is the upper half. */
  random64(): bigint {
    const upper = BigInt(this.random32());
    return (upper << 32n) | BigInt(this.random32());
  }

  /** One float32 in [0, 1), of 24 bits, as `torch.rand(1)`. */
  uniform(): number {
    return (this.random32() & 0xffffff) * 2 ** -24;
  }

  /** `torch.rand(count)`: float32 in [0, 1). */
  rand(count: number): Float32Array {
    const values = new Float32Array(count);
    for (let i = 0; i < count; i++) values[i] = this.uniform();
    return values;
  }

  /**
   * `torch.randn(count)`, to the rounding of the logarithm and the sine (PyTorch uses approximations of them that
   * depend on the processor).
   */
  randn(count: number): Float32Array {
    const values = new Float32Array(count);
    if (count < NORMAL_BLOCK) {
      for (let i = 0; i < count; i++) values[i] = this.#normal();
      return values;
    }
    for (let i = 0; i < count; i++) values[i] = this.uniform();
    for (let start = 0; start + NORMAL_BLOCK <= count; start += NORMAL_BLOCK) applyBoxMuller(values, start);
    if (count % NORMAL_BLOCK !== 0) {
      // The last block overlaps the one before it and is drawn again.
      const start = count - NORMAL_BLOCK;
      for (let i = start; i < count; i++) values[i] = this.uniform();
      applyBoxMuller(values, start);
    }
    return values;
  }

  /** `torch.randperm(n)`: a permutation of `0 … n - 1`. Throws from 2^32 / 20 on, where PyTorch draws otherwise. */
  randperm(n: number): Uint32Array {
    if (!Number.isInteger(n) || n < 0 || n >= RANDPERM_LIMIT) {
      throw new ShiboriError(`A permutation needs a length from 0 to ${RANDPERM_LIMIT - 1}, found ${n}.`, {
        code: 'invalid-graph',
      });
    }
    const order = Uint32Array.from({ length: n }, (_, i) => i);
    for (let i = 0; i < n - 1; i++) swap(order, i, i + (this.random32() % (n - i)));
    return order;
  }

  #uniform53(): number {
    const upper = this.random32() & 0x1fffff;
    return (upper * 2 ** 32 + this.random32()) * 2 ** -53;
  }

  /** One sample of the path PyTorch takes below 16 elements: Box-Muller in double, the second sample kept. */
  #normal(): number {
    const spare = this.#spareNormal;
    if (spare !== undefined) {
      this.#spareNormal = undefined;
      return spare;
    }
    const angle = 2 * Math.PI * this.#uniform53();
    const radius = Math.sqrt(-2 * Math.log1p(-this.#uniform53()));
    this.#spareNormal = radius * Math.sin(angle);
    return radius * Math.cos(angle);
  }

  #twist(): void {
    const state = this.#state;
    for (let i = 0; i < STATE_WORDS; i++) {
      const joined = ((state[i] as number) & 0x80000000) | ((state[(i + 1) % STATE_WORDS] as number) & 0x7fffffff);
      const shifted = state[(i + SHIFT_WORDS) % STATE_WORDS] as number;
      state[i] = shifted ^ (joined >>> 1) ^ (joined & 1 ? 0x9908b0df : 0);
    }
    this.#position = 0;
  }
}

/** 16 uniform numbers at `start` become 16 normal ones: the first half gives the radii, the second the angles. */
function applyBoxMuller(values: Float32Array, start: number): void {
  for (let i = start; i < start + NORMAL_BLOCK / 2; i++) {
    const radius = Math.sqrt(-2 * Math.log(1 - (values[i] as number)));
    const angle = 2 * Math.PI * (values[i + NORMAL_BLOCK / 2] as number);
    values[i] = radius * Math.cos(angle);
    values[i + NORMAL_BLOCK / 2] = radius * Math.sin(angle);
  }
}

function swap(values: Uint32Array, i: number, j: number): void {
  const kept = values[i] as number;
  values[i] = values[j] as number;
  values[j] = kept;
}

/** Lengths of the parts of `n` items for fractions that sum to 1: floors, the rest dealt out one each from the first. */
function computeSplitLengths(n: number, fractions: readonly number[]): number[] {
  const sum = fractions.reduce((total, fraction) => total + fraction, 0);
  if (fractions.some((fraction) => !(fraction >= 0)) || sum > 1 || 1 - sum > 1e-9) {
    throw new UsageError(`Split fractions must be at least 0 and sum to 1, found ${fractions.join(' + ')} = ${sum}.`);
  }
  const lengths = fractions.map((fraction) => Math.floor(n * fraction));
  const rest = n - lengths.reduce((total, length) => total + length, 0);
  for (let i = 0; i < rest; i++) lengths[i % lengths.length] = (lengths[i % lengths.length] ?? 0) + 1;
  return lengths;
}

/**
 * `torch.utils.data.random_split(range(n), fractions, generator=manual_seed(seed))` (PyTorch 1.13 and later): the
 * indices of each part, in PyTorch's order.
 *
 * @example const [train, validation] = randomSplit(100_000, [0.95, 0.05], 42);
 * @throws UsageError when the fractions do not sum to 1.
 */
export function randomSplit(n: number, fractions: readonly number[], seed: number): number[][] {
  const order = new MersenneTwister(seed).randperm(n);
  let start = 0;
  return computeSplitLengths(n, fractions).map((length) => {
    start += length;
    return Array.from(order.subarray(start - length, start));
  });
}

/** A stream of random numbers. */
export interface RandomStream {
  /** A number in [0, 1), of 32 bits; with arguments, in [from, to). */
  uniform(from?: number, to?: number): number;
  /** An integer in [0, below), every one equally likely; `below` from 1 to 2^32. */
  integer(below: number): number;
  /** A permutation of `0 … n - 1`. */
  permutation(n: number): Uint32Array;
}

/** One step of the finaliser of MurmurHash3 (Appleby 2008): every input bit reaches every output bit. */
function mix(word: number): number {
  let x = word;
  x = Math.imul(x ^ (x >>> 16), 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return x ^ (x >>> 16);
}

const rotateLeft = (x: number, bits: number) => (x << bits) | (x >>> (32 - bits));

/**
 * The stream that belongs to these keys, integers from 0 to 2^53 - 1: the same keys give the same numbers, other keys
 * (or another order of them) unrelated ones.
 *
 * @example seeded(42, 0, 7).uniform() < 1 // true
 * @throws UsageError for a key that is not such an integer.
 */
export function seeded(...keys: readonly number[]): RandomStream {
  // Four lanes rather than one: 32 bits would give two of a few hundred thousand images the same stream.
  const lanes = [1, 2, 3, 4].map((lane) => mix(Math.imul(keys.length + 1, 0x9e3779b1) + lane));
  const absorb = (word: number) => {
    for (let lane = 0; lane < 4; lane++) {
      lanes[lane] = mix(Math.imul((lanes[lane] as number) ^ word, 0x9e3779b1) + (lanes[(lane + 3) % 4] as number));
    }
  };
  for (const key of keys) {
    if (!Number.isSafeInteger(key) || key < 0) {
      throw new UsageError(`The keys of a random stream must be integers from 0 to 2^53 - 1, found ${key}.`);
    }
    absorb(key >>> 0);
    absorb(Math.floor(key / 2 ** 32));
  }
  let [a = 0, b = 0, c = 0, d = 0] = lanes;
  // The last bit set keeps xoshiro out of its one forbidden state, all zeros.
  d |= 1;

  function next(): number {
    const result = Math.imul(rotateLeft(Math.imul(b, 5), 7), 9);
    const shifted = b << 9;
    c ^= a;
    d ^= b;
    b ^= c;
    a ^= d;
    c ^= shifted;
    d = rotateLeft(d, 11);
    return result >>> 0;
  }

  function integer(below: number): number {
    if (!Number.isInteger(below) || below < 1 || below > 2 ** 32) {
      throw new UsageError(`A random integer needs a bound from 1 to 2^32, found ${below}.`);
    }
    const limit = 2 ** 32 - (2 ** 32 % below);
    let value = next();
    while (value >= limit) value = next();
    return value % below;
  }

  return {
    uniform: (from = 0, to = 1) => from + (to - from) * next() * 2 ** -32,
    integer,
    permutation(n) {
      const order = Uint32Array.from({ length: n }, (_, i) => i);
      for (let i = n - 1; i > 0; i--) swap(order, i, integer(i + 1));
      return order;
    },
  };
}
