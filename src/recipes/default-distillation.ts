/**
 * Says what is learnt from a teacher unless a plan says so: its predictions, its activations and its maps, and no labels.
 * Alone in its file, because the command line reads it before it loads anything else.
 */
export const DEFAULT_DISTILLATION = { labels: 0, features: 1, maps: 1 } as const;
