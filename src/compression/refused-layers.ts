import type { RefusedLayer } from './compressible-layers.js';

/** Layers that are named for one reason; more are counted. */
const MOST_NAMED = 4;

/** Sentences on layers that are left as they are: one for each reason, however many layers it holds for. */
export function describeRefusedLayers(refused: readonly RefusedLayer[]): string[] {
  const byReason = new Map<string, Set<string>>();
  for (const { path, reason } of refused) byReason.set(reason, (byReason.get(reason) ?? new Set()).add(path));
  return [...byReason].map(([reason, unique]) => {
    const paths = [...unique];
    const named = paths.length > MOST_NAMED ? paths.slice(0, MOST_NAMED - 1) : paths;
    const rest = paths.length > named.length ? ` and ${paths.length - named.length} more` : '';
    return `${named.join(', ')}${rest} ${paths.length > 1 ? 'are' : 'is'} left as ${paths.length > 1 ? 'they are' : 'it is'}: ${reason}`;
  });
}
