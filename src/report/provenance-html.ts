/** What the figures of a report depend on, so that they can be checked and repeated. */
import { escapeHtml, formatInteger } from './format.js';

/** A file that was read. */
export interface FileOrigin {
  readonly name: string;
  readonly bytes: number;
  /** In hexadecimal. */
  readonly sha256: string;
}

/** A model of a report, and the files that it was read from: none for a model that was made by the same command. */
export interface ModelOrigin {
  readonly name: string;
  /** The model file first, then those with its external data. */
  readonly files: readonly FileOrigin[];
  /** How images become its input, in words. */
  readonly preprocess: string;
}

/** The images that figures were measured on. */
export interface DataOrigin {
  /** What they are for, such as `validation`. */
  readonly use: string;
  readonly name: string;
  /** Part of the data set, where it has several: `test`, a split file, … */
  readonly part?: string;
  readonly images: number;
}

/** Where, when and how a report was made. */
export interface Provenance {
  /** The command as it was typed; none where the library was called. */
  readonly command?: string;
  /** ISO 8601, in UTC. */
  readonly date: string;
  readonly versions: { readonly shibori: string; readonly onnxruntime: string; readonly node: string };
  readonly machine: { readonly cpu: string; readonly threads: number; readonly system: string };
  readonly seed?: number;
  readonly models: readonly ModelOrigin[];
  readonly data: readonly DataOrigin[];
}

function renderFileOrigin({ name, bytes, sha256 }: FileOrigin): string {
  return `${escapeHtml(name)}, ${formatInteger(bytes)} bytes, SHA-256 <code>${escapeHtml(sha256)}</code>`;
}

/** Lists the provenance as HTML. */
export function renderProvenance({ command, date, versions, machine, seed, models, data }: Provenance): string {
  const rows: (readonly [string, string])[] = [
    ...(command === undefined ? [] : [['Command', `<code>${escapeHtml(command)}</code>`] as const]),
    ...models.flatMap(({ name, files, preprocess }) => [
      [
        `Model “${name}”`,
        files.length === 0 ? 'made by this command' : files.map(renderFileOrigin).join('<br>'),
      ] as const,
      [`Input of “${name}”`, escapeHtml(preprocess)] as const,
    ]),
    ...data.map(
      ({ use, name, part, images }) =>
        [
          `Data, ${use}`,
          escapeHtml(`${name}${part === undefined ? '' : `, ${part}`}, ${formatInteger(images)} images`),
        ] as const,
    ),
    ...(seed === undefined ? [] : [['Seed', String(seed)] as const]),
    ['Versions', escapeHtml(`shibori ${versions.shibori}, onnxruntime ${versions.onnxruntime}, Node ${versions.node}`)],
    ['Machine', escapeHtml(`${machine.cpu}, ${machine.threads} threads, ${machine.system}`)],
    ['Date', escapeHtml(date)],
  ];
  return `<dl class="provenance">${rows
    .map(([term, text]) => `<dt>${escapeHtml(term)}</dt><dd>${text}</dd>`)
    .join('\n')}</dl>`;
}
