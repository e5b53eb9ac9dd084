/**
 * How fast Shibori is, beside PyTorch on the same machine where there is one. Progress goes to stderr, the table (or
 * JSON, with `--json`) to stdout. Both sides' results are compared first; where they differ there are no figures.
 *
 *   npm run bench -- [--json] [--only name,name] [--rounds N] [--threads N] [--python FILE]
 *
 * Names: inference64, inference1, gradCam, trainStep, headEpoch, ttSvd, memory.
 */
import { rmSync } from 'node:fs';
import { mkdtemp } from 'node:fs/promises';
import { availableParallelism, cpus, loadavg, tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { env as runtime } from 'onnxruntime-node';
import { nodeEngine } from '../dist/engine/node.js';
import { gradCam } from './grad-cam.js';
import { inference } from './inference.js';
import { peakMemory } from './memory.js';
import { makeNetwork } from './network.js';
import { Peer } from './peer.js';
import { figureOf, tableOf } from './results.js';
import { headEpoch, trainStep } from './training.js';
import { ttSvd } from './tt-svd.js';
import { secondsOf, takeTurns } from './turns.js';

const ALL = [inference(64, 1), inference(1, 20), gradCam, trainStep, headEpoch, ttSvd];

const MEMORY = 'memory';

const say = (text) => process.stderr.write(`${text}\n`);

function options() {
  const { values } = parseArgs({
    options: {
      json: { type: 'boolean', default: false },
      only: { type: 'string' },
      rounds: { type: 'string' },
      threads: { type: 'string' },
      python: { type: 'string', default: '/usr/bin/python3' },
    },
  });
  const count = (name, otherwise) => {
    const value = values[name] === undefined ? otherwise : Number(values[name]);
    if (value === undefined || (Number.isInteger(value) && value > 0)) return value;
    throw new Error(`--${name} takes a positive number, found "${values[name]}".`);
  };
  const names = [...ALL.map(({ name }) => name), MEMORY];
  const wanted = values.only?.split(',') ?? names;
  const unknown = wanted.find((name) => !names.includes(name));
  if (unknown !== undefined) throw new Error(`There is no benchmark "${unknown}". There are ${names.join(', ')}.`);
  return {
    json: values.json,
    python: values.python,
    rounds: count('rounds'),
    threads: count('threads', availableParallelism()),
    benchmarks: ALL.filter(({ name }) => wanted.includes(name)),
    measuresMemory: wanted.includes(MEMORY),
  };
}

/** The Python process and its versions; no process where it has no PyTorch. */
async function openPeer(python, threads, folder) {
  const peer = new Peer(python, threads, folder);
  const versions = await peer.versions().catch((error) => {
    say(error.message.trim());
    return undefined;
  });
  if (versions?.torch) return { peer, versions };
  await peer.stop();
  say(`${python} has no PyTorch: Shibori is measured alone.`);
  return { peer: undefined, versions: versions ?? {} };
}

async function measure(benchmark, context, rounds) {
  const { name, title, others } = benchmark;
  say(`${name}: ${title}`);
  const prepared = await benchmark.prepare(context);
  try {
    const agreement = context.peer ? await prepared.check() : {};
    for (const [what, difference] of Object.entries(agreement))
      say(`  ${what} agree to ${difference.toExponential(1)}`);
    const contestants = { Shibori: () => secondsOf(prepared.run) };
    if (context.peer) for (const other of others) contestants[other.title] = () => context.peer.time(other.how);
    const total = rounds ?? benchmark.rounds;
    const seconds = await takeTurns(contestants, total, (round) => say(`  round ${round} of ${total}`));
    return figureOf(benchmark, seconds, agreement);
  } finally {
    await prepared.dispose();
  }
}

async function main({ json, python, rounds, threads, benchmarks, measuresMemory }) {
  const folder = await mkdtemp(join(tmpdir(), 'shibori-bench-'));
  // However it ends, by a signal too: the weights are 112 MB.
  process.once('exit', () => rmSync(folder, { recursive: true, force: true }));
  process.once('SIGINT', () => process.exit(130));
  process.once('SIGTERM', () => process.exit(143));
  let peer;
  try {
    const machine = {
      cpu: cpus()[0]?.model.trim() ?? 'unknown',
      cores: availableParallelism(),
      threads,
      openblasCoreType: process.env.OPENBLAS_CORETYPE ?? null,
      loadAverage: Number(loadavg()[0].toFixed(2)),
    };
    const opened = await openPeer(python, threads, folder);
    peer = opened.peer;
    const versions = { node: process.version, 'onnxruntime-node': runtime.versions.node, ...opened.versions };
    const network = await makeNetwork(folder);
    let memory = null;
    if (measuresMemory) {
      say('memory: peak of a training process');
      memory = await peakMemory({ network, python, threads, folder, hasTorch: peer !== undefined });
    }
    const context = { engine: nodeEngine({ threads }), network, peer };
    const figures = {};
    for (const benchmark of benchmarks) figures[benchmark.name] = await measure(benchmark, context, rounds);
    const ratios = Object.fromEntries(
      Object.entries(figures).flatMap(([name, { ratio }]) => (ratio === null ? [] : [[name, ratio]])),
    );
    const results = { date: new Date().toISOString(), machine, versions, ratios, figures, memory };
    process.stdout.write(json ? `${JSON.stringify(results, null, 2)}\n` : tableOf(results));
  } finally {
    await peer?.stop();
  }
}

let chosen;
try {
  chosen = options();
} catch (error) {
  say(error.message);
  process.exit(2);
}
main(chosen).catch((error) => {
  say(error.stack ?? String(error));
  process.exitCode = 1;
});
