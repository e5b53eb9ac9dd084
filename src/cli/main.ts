#!/usr/bin/env node
import { Command, CommanderError } from 'commander';
import pc from 'picocolors';
import { ShiboriError, UsageError } from '../errors.js';
import { packageVersion } from '../node/package.js';
import { compareCommand } from './commands/compare.js';
import { compressCommand } from './commands/compress.js';
import { demoCommand } from './commands/demo.js';
import { evaluateCommand } from './commands/evaluate.js';
import { explainCommand } from './commands/explain.js';
import { exportCommand } from './commands/export.js';
import { fetchCommand } from './commands/fetch.js';
import { finetuneCommand } from './commands/finetune.js';
import { runCommand } from './commands/run.js';
import { summaryCommand } from './commands/summary.js';
import { sweepCommand } from './commands/sweep.js';
import { trainCommand } from './commands/train.js';

/** Exit codes: 0 done, 1 it went wrong, 2 it was called wrongly, 130 interrupted. */
const FAILED = 1;
const MISUSED = 2;
const INTERRUPTED = 130;

function program(): Command {
  const shibori = new Command('shibori')
    .description('Squeeze a trained vision model with tensor networks, and see what it still looks at.')
    .version(packageVersion())
    .configureHelp({ subcommandTerm: (command) => command.name() })
    .showHelpAfterError('(add --help for what this command takes)')
    .addHelpText('after', '\nStart with: shibori demo');
  // Each imports its verb when it runs: help and mistakes are answered without loading an engine.
  for (const command of [
    summaryCommand(),
    evaluateCommand(),
    explainCommand(),
    compressCommand(),
    sweepCommand(),
    finetuneCommand(),
    trainCommand(),
    compareCommand(),
    exportCommand(),
    runCommand(),
    fetchCommand(),
    demoCommand(),
  ]) {
    shibori.addCommand(command);
  }
  // Errors must reach the one place below, from every subcommand.
  for (const command of [shibori, ...shibori.commands]) command.exitOverride();
  return shibori;
}

async function main(): Promise<number> {
  try {
    await program().parseAsync();
    return process.exitCode === undefined ? 0 : Number(process.exitCode);
  } catch (error) {
    if (error instanceof CommanderError) return error.exitCode === 0 ? 0 : MISUSED;
    if (error instanceof Error && error.name === 'AbortError') {
      process.stderr.write('Interrupted.\n');
      return INTERRUPTED;
    }
    const label = process.stderr.isTTY ? pc.red('error:') : 'error:';
    if (error instanceof ShiboriError) {
      process.stderr.write(`${label} ${error.message}\n`);
      return error instanceof UsageError ? MISUSED : FAILED;
    }
    // A mistake of ours: the stack is what a bug report needs.
    process.stderr.write(`${label} ${error instanceof Error ? (error.stack ?? error.message) : String(error)}\n`);
    return FAILED;
  }
}

// A reader that stops early (`| head`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});
process.exitCode = await main();
