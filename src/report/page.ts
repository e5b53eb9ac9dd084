/** What all reports are made of: one HTML page that needs nothing from the network. */

/** Text as HTML shows it. */
export function escapeHtml(text: string): string {
  const entities: Readonly<Record<string, string>> = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;' };
  return text.replace(/[&<>"]/g, (character) => entities[character] ?? character);
}

/** A picture that needs no file of its own. */
export function dataUrl(png: Uint8Array): string {
  let binary = '';
  for (let start = 0; start < png.length; start += 0x8000)
    binary += String.fromCharCode(...png.subarray(start, start + 0x8000));
  return `data:image/png;base64,${btoa(binary)}`;
}

/** `27,927,560` */
export const integer = (value: number) => value.toLocaleString('en-US');
/** `40.10 %` */
export const percent = (value: number) => `${value.toFixed(2)} %`;

/** A table; the first column is text, the others are numbers. */
export function table(header: readonly string[], rows: readonly (readonly string[])[]): string {
  const cells = (row: readonly string[], tag: string) =>
    row.map((cell) => `<${tag}>${escapeHtml(cell)}</${tag}>`).join('');
  return `<div class="scroll"><table><thead><tr>${cells(header, 'th')}</tr></thead><tbody>${rows
    .map((row) => `<tr>${cells(row, 'td')}</tr>`)
    .join('')}</tbody></table></div>`;
}

/** A part of a page. */
export function section(title: string, ...body: readonly string[]): string {
  return `<section><h2>${escapeHtml(title)}</h2>${body.join('\n')}</section>`;
}

const style = `
:root { color-scheme: light; }
body { font: 16px/1.5 system-ui, sans-serif; color: #1c2530; background: #fff; margin: 0 auto; max-width: 980px; padding: 2rem 1.25rem 4rem; }
h1 { font-size: 1.6rem; margin: 0 0 .4rem; } h2 { font-size: 1.15rem; margin: 2.4rem 0 .8rem; border-bottom: 1px solid #d8dee5; padding-bottom: .3rem; }
.verdict { font-size: 1.15rem; background: #eef4f8; border-left: 4px solid #2a6f97; padding: .8rem 1rem; margin: 1rem 0 0; }
table { border-collapse: collapse; font-variant-numeric: tabular-nums; font-size: .92rem; } th, td { padding: .3rem .8rem; text-align: right; border-bottom: 1px solid #e6eaef; white-space: nowrap; }
th:first-child, td:first-child { text-align: left; } thead th { border-bottom: 2px solid #c6ced8; }
figure { margin: 0; } .row { display: flex; flex-wrap: wrap; gap: 1.5rem; } .scroll { overflow-x: auto; }
.maps { display: grid; grid-template-columns: repeat(auto-fill, minmax(420px, 1fr)); gap: 1.2rem; } .maps img { width: 100%; height: auto; border: 1px solid #e6eaef; border-radius: 4px; }
figcaption, .quiet { color: #5a6675; font-size: .85rem; overflow-wrap: anywhere; }
`;

/** The whole page. */
export function page(title: string, verdict: string, sections: readonly string[]): string {
  return `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>${escapeHtml(title)}</title><style>${style}</style></head>
<body><h1>${escapeHtml(title)}</h1><p class="verdict">${escapeHtml(verdict)}</p>
${sections.join('\n')}
</body></html>
`;
}
