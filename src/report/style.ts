/** The one style sheet of all reports: narrow and wide screens, light and dark, and A4. */

/** Colours of series in charts: a variable of the page, and the colour that a chart has on its own. */
export const SERIES = [
  'var(--series-1, #2a6f97)',
  'var(--series-2, #c8641a)',
  'var(--series-3, #56852a)',
  'var(--series-4, #7c5295)',
] as const;
/** Points of less interest, and lines that only join others. */
export const MUTED = 'var(--muted, #8b97a5)';
/** References and limits. */
export const MARK = 'var(--mark, #b23a2a)';

const light = `
  --ink: #1b2430; --quiet: #596473; --line: #dde2e8; --ground: #ffffff; --panel: #f3f6f9; --accent: #1f5f8b;
  --warn-ground: #fdf3e1; --warn-line: #d9982b; --shade: rgb(27 36 48 / .28);
  --series-1: #2a6f97; --series-2: #c8641a; --series-3: #56852a; --series-4: #7c5295; --muted: #8b97a5; --mark: #b23a2a;`;
const dark = `
  --ink: #e3e7ec; --quiet: #9ba7b4; --line: #323b46; --ground: #14181d; --panel: #1d232a; --accent: #7dbbe2;
  --warn-ground: #33291a; --warn-line: #d9982b; --shade: rgb(0 0 0 / .75);
  --series-1: #6cb2dd; --series-2: #f0a05a; --series-3: #a2cc6c; --series-4: #c7a0dd; --muted: #7f8a97; --mark: #ef8b79;`;

const screen = `
* { box-sizing: border-box; }
body { font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; color: var(--ink); background: var(--ground);
  margin: 0 auto; max-width: 1080px; padding: 1.75rem 1.25rem 3rem; overflow-wrap: break-word; }
h1, h2, h3 { line-height: 1.25; text-wrap: balance; overflow-wrap: anywhere; }
h1 { font-size: 1.5rem; font-weight: 650; margin: 0 0 .75rem; }
h2 { font-size: 1.12rem; font-weight: 650; margin: 2.25rem 0 .75rem; padding-bottom: .25rem; border-bottom: 1px solid var(--line); }
h3 { font-size: .95rem; font-weight: 650; margin: 1.25rem 0 .5rem; }
p { margin: .5rem 0; max-width: 76ch; }
a { color: var(--accent); }
code { font: .92em ui-monospace, SFMono-Regular, Menlo, Consolas, monospace; overflow-wrap: anywhere; }
.quiet, .note { color: var(--quiet); font-size: .84rem; }
.verdict { font-size: 1.05rem; background: var(--panel); border-left: 4px solid var(--accent); padding: .7rem 1rem; margin: 0; max-width: none; }
.warning { background: var(--warn-ground); border-left: 4px solid var(--warn-line); padding: .5rem 1rem; margin: .5rem 0 0; max-width: none; font-size: .9rem; }
.keys { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 1px; margin: 1rem 0 0; padding: 1px; }
@media (min-width: 520px) { .keys { grid-template-columns: repeat(3, minmax(0, 1fr)); } }
@media (min-width: 940px) { .keys { grid-template-columns: repeat(6, minmax(0, 1fr)); } }
.keys > div { box-shadow: 0 0 0 1px var(--line); padding: .55rem .75rem; }
.keys dt { color: var(--quiet); font-size: .78rem; }
.keys dd { margin: 0; font-size: 1.28rem; font-weight: 600; line-height: 1.3; font-variant-numeric: tabular-nums; }
.keys dd.detail { font-size: .78rem; font-weight: 400; color: var(--quiet); line-height: 1.35; overflow-wrap: anywhere; }
figure { margin: 0; min-width: 0; }
figcaption strong { font-weight: 650; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 360px), 1fr)); gap: 1.5rem 2rem; align-items: start; margin: .75rem 0; }
.charts.small { grid-template-columns: repeat(auto-fill, minmax(min(100%, 270px), 1fr)); }
.chart figcaption { font-size: .86rem; line-height: 1.4; margin-bottom: .35rem; }
.chart svg { display: block; width: 100%; height: auto; max-width: 520px; overflow: visible; }
.files { font-size: .78rem; color: var(--quiet); margin: .2rem 0 0; }
.files a { margin-right: .6em; }
`;

const tables = `
.table { margin: .75rem 0 0; container-type: inline-size; }
.scroll { overflow-x: auto; position: relative; overscroll-behavior-x: contain;
  background: linear-gradient(90deg, var(--ground) 40%, transparent) 0 0 / 36px 100% no-repeat local,
    linear-gradient(270deg, var(--ground) 40%, transparent) 100% 0 / 36px 100% no-repeat local,
    linear-gradient(90deg, var(--shade), transparent) 0 0 / 13px 100% no-repeat scroll,
    linear-gradient(270deg, var(--shade), transparent) 100% 0 / 13px 100% no-repeat scroll; }
.scroll:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
.hint { display: none; color: var(--quiet); font-size: .78rem; margin: 0 0 .2rem; }
table { border-collapse: collapse; font-size: .86rem; line-height: 1.35; font-variant-numeric: tabular-nums; }
.title { font-weight: 650; font-size: .86rem; margin: 0 0 .3rem; }
th, td { padding: .28rem .9rem .28rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid var(--line); }
th:last-child, td:last-child { padding-right: 0; }
thead th { font-weight: 600; vertical-align: bottom; border-bottom: 1.5px solid var(--quiet); }
tbody th { font-weight: 400; }
.n { text-align: right; } td.n { white-space: nowrap; } .p { min-width: 11em; overflow-wrap: anywhere; }
`;

const pictures = `
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 350px), 1fr)); gap: 1.6rem 2rem; margin: .75rem 0; }
.panels { display: grid; grid-template-columns: repeat(3, minmax(0, 1fr)); gap: .3rem .4rem; font-size: .78rem; line-height: 1.3; }
.panels > div { min-width: 0; }
.panels span { display: block; overflow-wrap: anywhere; }
.panels .head { color: var(--quiet); align-self: end; }
.panels img { display: block; width: 100%; height: auto; margin-bottom: .15rem; border-radius: 2px; }
.panels img.pixels { image-rendering: pixelated; }
.picture figcaption { font-size: .84rem; line-height: 1.4; margin-top: .4rem; padding-top: .3rem; border-top: 1px solid var(--line); overflow-wrap: anywhere; }
.scale { display: flex; align-items: center; gap: .5rem; font-size: .8rem; color: var(--quiet); flex-wrap: wrap; }
.scale img { width: 140px; height: 10px; border-radius: 2px; }
.provenance { display: grid; grid-template-columns: minmax(7.5em, max-content) minmax(0, 1fr); gap: .2rem 1rem; font-size: .84rem; margin: 0; }
.provenance dt { color: var(--quiet); } .provenance dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 480px) { .provenance { grid-template-columns: minmax(0, 1fr); } .provenance dd { margin-bottom: .3rem; } }
`;

const print = `
@page { size: A4; margin: 14mm 13mm; }
@media print {
  body { font-size: 9.5pt; line-height: 1.4; max-width: none; padding: 0; print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  h1 { font-size: 15pt; } h2 { font-size: 11.5pt; margin-top: 14pt; }
  h1, h2, h3, .title, .chart figcaption { break-after: avoid; }
  h2 + *, h3 + * { break-before: avoid; }
  p { orphans: 3; widows: 3; max-width: none; }
  .verdict { font-size: 10.5pt; }
  .hint, .files { display: none !important; }
  .keys { grid-template-columns: repeat(6, minmax(0, 1fr)); } .keys dd { font-size: 11pt; } .keys dt, .keys dd.detail { font-size: 7pt; }
  .keys > div { padding: 3pt 5pt; }
  .table { container-type: normal; }
  .scroll { overflow: visible; background: none; }
  table { max-width: 100%; min-width: 0 !important; font-size: 8pt; }
  table.many { font-size: 6.6pt; }
  th, td { padding: 1.5pt 5pt 1.5pt 0; } .p { min-width: 0; } td.n { white-space: normal; }
  thead tr, tbody tr:nth-child(-n + 2) { break-after: avoid; }
  thead { display: table-header-group; } tr, .panels, figure, .keys, .warning { break-inside: avoid; }
  .charts { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 10pt 14pt; } .charts.small { grid-template-columns: repeat(3, minmax(0, 1fr)); }
  .chart figcaption, .picture figcaption, .panels, .provenance, .quiet, .note, .scale { font-size: 8pt; }
  .pictures { grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 12pt 16pt; }
  .provenance { gap: 1pt 10pt; }
  a { color: inherit; text-decoration: none; }
}
`;

/** The widths, in pixels, at which tables begin to scroll: the hint is shown where the page is narrower. */
export const TABLE_WIDTHS: readonly number[] = Array.from({ length: 24 }, (_, k) => 200 + 50 * k);

const hints = TABLE_WIDTHS.map(
  (width) => `@container (max-width: ${width - 0.02}px) { .w${width} { display: block; } }`,
).join('\n');

/** The style sheet. */
export const style = `
:root { color-scheme: light dark; ${light} }
@media screen and (prefers-color-scheme: dark) { :root { ${dark} } }
@media print { :root { color-scheme: light; } }
${screen}${tables}${hints}${pictures}${print}`;
