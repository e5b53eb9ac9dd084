/** Computes log(1 + exp(x)); the larger of x and 0 is taken out, so that nothing overflows and small results keep their digits. */
export const softplus = (x: number): number => Math.max(x, 0) + Math.log1p(Math.exp(-Math.abs(x)));
