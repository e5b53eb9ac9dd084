/*
 * How long a command of several phases still takes. Each phase has a weight: the work that it is expected to be, in any
 * unit that is the same for all phases of a command. With the time t that was measured for work w of finished phases and of
 * the one that runs,
 *   left = the rest of the running phase at its own speed + (t / w) · weight of the phases that follow
 * There is no estimate before enough of the work was measured.
 */

/** A phase of a command, planned before it begins. */
export interface Phase {
  /** Equals `ProgressEvent.phase` of its events. */
  readonly name: string;
  /** Expected work, in the unit of the other phases' weights. */
  readonly weight: number;
}

/** What is expected to follow. */
export interface PhasePlan {
  readonly phases: readonly Phase[];
  /** Whether phases may be left out, as by a search that ends early: estimates are upper bounds then. */
  readonly atMost?: boolean;
}

/** A phase needs to have run for so long before its speed counts, in milliseconds. */
const SHORTEST_MS = 1000;
/** The share of all planned work that must be measured before the time of the whole is estimated. */
const LEAST_SHARE = 0.05;

/** How far a command has come in its phases, and how long the rest takes. */
export class PhaseClock {
  readonly #now: () => number;
  #plan: PhasePlan = { phases: [] };
  /** Position in the plan of the running phase, -1 before the first. */
  #index = -1;
  #phase: string | undefined;
  /** Time and work of the phases that are over. */
  #measured = { ms: 0, weight: 0 };
  #started = 0;
  #first = { done: 0, time: 0 };
  #done = 0;
  #total = 0;

  constructor(now: () => number) {
    this.#now = now;
  }

  /** Replaces the plan; phases are counted from its beginning. */
  plan(plan: PhasePlan): void {
    this.#plan = plan;
    this.#measured = { ms: 0, weight: 0 };
    this.#index = plan.phases.findIndex(({ name }) => name === this.#phase);
  }

  /** Notes progress of a phase; a new name begins the next phase of that name. */
  update(name: string, done: number, total: number): void {
    if (name !== this.#phase) {
      this.end();
      this.#phase = name;
      this.#started = this.#now();
      this.#first = { done, time: this.#started };
      const next = this.#plan.phases.findIndex((phase, i) => i > this.#index && phase.name === name);
      if (next >= 0) this.#index = next;
    }
    this.#done = done;
    this.#total = total;
  }

  /** Ends the running phase. */
  end(): void {
    if (this.#phase === undefined) return;
    const phase = this.#plan.phases[this.#index];
    if (phase?.name === this.#phase) {
      this.#measured = {
        ms: this.#measured.ms + this.#now() - this.#started,
        weight: this.#measured.weight + phase.weight * (1 - this.#skippedShare()),
      };
    }
    this.#phase = undefined;
  }

  /** `3/6`, where the running phase is planned and not the only one. */
  describePlace(): string | undefined {
    const { phases } = this.#plan;
    return phases.length > 1 && phases[this.#index]?.name === this.#phase
      ? `${this.#index + 1}/${phases.length}`
      : undefined;
  }

  /** Milliseconds that the running phase took so far. */
  getElapsedMs(): number {
    return this.#now() - this.#started;
  }

  /** The share of a phase that was done before it began here, as after a resumption. */
  #skippedShare(): number {
    return this.#total > 0 ? this.#first.done / this.#total : 0;
  }

  /** Milliseconds that the running phase still takes at its own speed. */
  #restOfPhase(): number | undefined {
    const done = this.#done - this.#first.done;
    const ms = this.#now() - this.#first.time;
    if (this.#total <= 0 || done <= 0 || ms < SHORTEST_MS) return undefined;
    return (ms / done) * Math.max(0, this.#total - this.#done);
  }

  /**
   * The time left of the whole command, or of the running phase where no others are planned. `undefined` without a basis.
   */
  estimateTimeLeft(): { readonly ms: number; readonly of: 'phase' | 'all'; readonly atMost: boolean } | undefined {
    const { phases, atMost = false } = this.#plan;
    const own = this.#restOfPhase();
    const phase = phases[this.#index];
    if (phases.length < 2 || phase === undefined || phase.name !== this.#phase) {
      return own === undefined ? undefined : { ms: own, of: 'phase', atMost: false };
    }
    const share = this.#total > 0 ? this.#done / this.#total - this.#skippedShare() : 0;
    const ms = this.#measured.ms + this.getElapsedMs();
    const weight = this.#measured.weight + phase.weight * share;
    const all = phases.reduce((sum, each) => sum + each.weight, 0);
    const hasBasis = ms >= SHORTEST_MS && weight >= LEAST_SHARE * all;
    const following = phases.slice(this.#index + 1).reduce((sum, each) => sum + each.weight, 0);
    if (following === 0) return own === undefined ? undefined : { ms: own, of: 'all', atMost };
    if (!hasBasis) return undefined;
    const perWeight = ms / weight;
    const rest = own ?? Math.max(0, phase.weight * (1 - this.#skippedShare()) * perWeight - this.getElapsedMs());
    return { ms: rest + following * perWeight, of: 'all', atMost };
  }
}
