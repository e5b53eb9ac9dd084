import * as Plot from '@observablehq/plot';
import { parseHTML } from 'linkedom';

/** A document for Plot to draw into, so that charts are made where there is no browser. */
function emptyDocument(): Document {
  return parseHTML('<!doctype html><html><body></body></html>').document;
}

/** Draws a chart and returns its markup, an `<svg>` (or a `<figure>` where there is a legend). */
export function chart(options: Plot.PlotOptions): string {
  const drawn = Plot.plot({
    document: emptyDocument(),
    style: { background: 'transparent', fontFamily: 'inherit', fontSize: '12px' },
    ...options,
  });
  return drawn.outerHTML;
}

export { Plot };
