/*
 * Plane rotations of two neighbouring columns of a matrix Z, z(i) ← c z(i) − s z(i+1), z(i+1) ← s z(i) + c z(i+1),
 * kept back and applied many sweeps at a time, so that a row of Z stays in cache meanwhile.
 * Source of the idea: Van Zee, van de Geijn, Quintana-Ortí 2014 (doi:10.1145/2535371).
 */

/** Rotations kept back before they are applied: their cosines and sines (24 KiB) share the first-level cache with rows. */
const ROTATION_BATCH = 1536;

/** Sweeps of plane rotations waiting to be applied to the columns of an `[n, n]` matrix. */
export class RotationQueue {
  readonly #target: Float64Array;
  readonly #n: number;
  readonly #cosines: Float64Array;
  readonly #sines: Float64Array;
  #count = 0;
  /** Of every sweep: the column it starts at, and the number of its first rotation. */
  #starts: number[] = [];
  #offsets: number[] = [];

  constructor(target: Float64Array, n: number) {
    this.#target = target;
    this.#n = n;
    this.#cosines = new Float64Array(ROTATION_BATCH + n);
    this.#sines = new Float64Array(ROTATION_BATCH + n);
  }

  /** Starts a sweep whose rotations act on columns (start − 1, start), (start − 2, start − 1), … */
  begin(start: number): void {
    this.#starts.push(start);
    this.#offsets.push(this.#count);
  }

  push(cosine: number, sine: number): void {
    this.#cosines[this.#count] = cosine;
    this.#sines[this.#count] = sine;
    this.#count++;
  }

  end(): void {
    if (this.#count >= ROTATION_BATCH) this.flush();
  }

  /** Applies what has been queued. */
  flush(): void {
    const n = this.#n;
    this.#offsets.push(this.#count);
    let row = 0;
    for (; row + 4 <= n; row += 4) this.#applyToFourRows(row * n);
    for (; row < n; row++) this.#applyToRow(row * n);
    this.#count = 0;
    this.#starts = [];
    this.#offsets = [];
  }

  /** Four rows are four independent chains of operations: one alone would wait for its own last result. */
  #applyToFourRows(r0: number): void {
    const z = this.#target;
    const cosines = this.#cosines;
    const sines = this.#sines;
    const r1 = r0 + this.#n;
    const r2 = r1 + this.#n;
    const r3 = r2 + this.#n;
    for (let sweep = 0; sweep < this.#starts.length; sweep++) {
      let i = this.#starts[sweep] as number;
      const end = this.#offsets[sweep + 1] as number;
      let t0 = z[r0 + i] as number;
      let t1 = z[r1 + i] as number;
      let t2 = z[r2 + i] as number;
      let t3 = z[r3 + i] as number;
      for (let k = this.#offsets[sweep] as number; k < end; k++, i--) {
        const c = cosines[k] as number;
        const s = sines[k] as number;
        const z0 = z[r0 + i - 1] as number;
        const z1 = z[r1 + i - 1] as number;
        const z2 = z[r2 + i - 1] as number;
        const z3 = z[r3 + i - 1] as number;
        z[r0 + i] = s * z0 + c * t0;
        z[r1 + i] = s * z1 + c * t1;
        z[r2 + i] = s * z2 + c * t2;
        z[r3 + i] = s * z3 + c * t3;
        t0 = c * z0 - s * t0;
        t1 = c * z1 - s * t1;
        t2 = c * z2 - s * t2;
        t3 = c * z3 - s * t3;
      }
      z[r0 + i] = t0;
      z[r1 + i] = t1;
      z[r2 + i] = t2;
      z[r3 + i] = t3;
    }
  }

  #applyToRow(r: number): void {
    const z = this.#target;
    for (let sweep = 0; sweep < this.#starts.length; sweep++) {
      let i = this.#starts[sweep] as number;
      const end = this.#offsets[sweep + 1] as number;
      let t = z[r + i] as number;
      for (let k = this.#offsets[sweep] as number; k < end; k++, i--) {
        const c = this.#cosines[k] as number;
        const s = this.#sines[k] as number;
        const before = z[r + i - 1] as number;
        z[r + i] = s * before + c * t;
        t = c * before - s * t;
      }
      z[r + i] = t;
    }
  }
}
