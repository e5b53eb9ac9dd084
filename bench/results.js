/** From seconds to figures, and figures as text. */
import { median } from './turns.js';

/** `"1.23"`: three significant digits, so many as the timings have. */
const digits = (value) => (value >= 100 ? value.toFixed(0) : value.toPrecision(3));

/**
 * The figures of one benchmark.
 *
 * `ratio` says how many times as fast as the first of the others Shibori is: the median over the rounds, which tells two
 * contestants of one round apart even where the machine's speed drifts from round to round.
 */
export function figureOf({ title, unit, amount, others }, seconds, agreement) {
  const figure = (values) => {
    const middle = median(values);
    return { value: unit === 's' ? middle : amount / middle, seconds: middle, rounds: values };
  };
  const ours = seconds.Shibori;
  const beside = others.flatMap((other) => {
    const theirs = seconds[other.title];
    if (!theirs) return [];
    const ratio = median(theirs.map((value, round) => value / ours[round]));
    return [{ title: other.title, ...figure(theirs), ratio }];
  });
  return { title, unit, shibori: figure(ours), others: beside, ratio: beside[0]?.ratio ?? null, agreement };
}

function headOf({ date, machine, versions }) {
  const { cpu, cores, threads, loadAverage, openblasCoreType } = machine;
  const lines = [
    `Shibori benchmark, ${date.slice(0, 10)}`,
    `machine   ${cpu}, ${cores} cores, ${threads} threads, load average ${loadAverage} before the start`,
    `versions  Node ${versions.node.slice(1)}, onnxruntime-node ${versions['onnxruntime-node']}`,
  ];
  if (versions.torch) {
    const coreType = openblasCoreType === null ? '' : `, OPENBLAS_CORETYPE=${openblasCoreType}`;
    lines.push(
      `          PyTorch ${versions.torch}, NumPy ${versions.numpy}, ${versions.blas ?? 'unknown BLAS'}${coreType}`,
    );
  } else lines.push('          no PyTorch: Shibori alone');
  return lines;
}

const gigabytes = (bytes) => `${(bytes / 1e9).toFixed(2)} GB`;

/** `peak memory of training, batch 32: 2.10 GB, PyTorch 1.80 GB (1.17x)` */
function memoryLine({ title, shibori, pytorch, ratio }) {
  const beside = pytorch === null ? '' : `, PyTorch ${gigabytes(pytorch)}: ${ratio.toFixed(2)}x`;
  return `${title}: ${gigabytes(shibori)}${beside}`;
}

/** A table for people. */
export function tableOf(results) {
  const rows = Object.values(results.figures).flatMap(({ title, unit, shibori, others }) => [
    [title, digits(shibori.value), unit, ''],
    ...others.map((other) => [`  ${other.title}`, digits(other.value), unit, `${other.ratio.toFixed(2)}x`]),
  ]);
  const width = (column) => Math.max(0, ...rows.map((row) => row[column].length));
  const [first, second, third] = [width(0), width(1), width(2)];
  const lines = rows.map(([title, value, unit, ratio]) =>
    `${title.padEnd(first)}  ${value.padStart(second)} ${unit.padEnd(third)}  ${ratio.padStart(7)}`.trimEnd(),
  );
  const memory = results.memory === null ? [] : ['', memoryLine(results.memory)];
  const note = results.versions.torch
    ? ['', 'Nx: Shibori is N times as fast; median over rounds in which all take turns.']
    : [];
  return `${[...headOf(results), '', ...lines, ...memory, ...note].join('\n')}\n`;
}
