#!/usr/bin/env node
import { Command, CommanderError, type OutputConfiguration } from 'commander';
import { readPackageVersion } from '../io/package-version.js';
import { hasJsonOption } from './command-line.js';
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
import { buildInterruptedFailure, describeFailure, formatFailure } from './failure.js';
import { formatInterruption } from './interruption.js';
import { printJson } from './output.js';
import { clearProgress, reportInterruption } from './start-command.js';

const json = hasJsonOption(process.argv.slice(2));

function buildProgram(output: OutputConfiguration): Command {
  const shibori = new Command('shibori')
    .description('Squeeze a trained vision model with tensor networks, and see what it still looks at.')
    .version(readPackageVersion())
    .configureHelp({ subcommandTerm: (command) => command.name() })
    .showHelpAfterError('(add --help for what this command takes)')
    .addHelpText('after', '\nStart with: shibori demo');
  // Each imports its workflow when it runs: help and mistakes are answered without loading an engine.
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
  for (const command of [shibori, ...shibori.commands]) command.exitOverride().configureOutput(output);
  return shibori;
}

/** Whether an argument asks for help, which Commander would answer in general for a command that there is not. */
const asksForHelp = (argument: string): boolean => ['-h', '--help', '--help-all'].includes(argument);

/** Arguments that name an unknown command are read without the wish for help, so that they are refused. */
function readArguments(shibori: Command, args: readonly string[]): readonly string[] {
  const words = args.filter((argument) => !argument.startsWith('-'));
  const name = words[0] === 'help' ? words[1] : words[0];
  if (name === undefined || name === 'help' || shibori.commands.some((command) => command.name() === name)) return args;
  return [name, ...args.filter((argument) => argument.startsWith('-') && !asksForHelp(argument))];
}

/** Ends the process's command with an error: text on standard error, and with --json also a document. */
function reportFailure(error: unknown): number {
  clearProgress();
  const isAbort = error instanceof Error && error.name === 'AbortError';
  const report = isAbort ? reportInterruption() : undefined;
  const failure = report ? buildInterruptedFailure(report) : describeFailure(error);
  if (json) printJson({ error: failure.error });
  if (report) process.stderr.write(`${formatInterruption(report)}\n`);
  // Commander has printed its message unless JSON was asked for.
  else if (json || !(error instanceof CommanderError)) process.stderr.write(`${formatFailure(failure)}\n`);
  return failure.exitCode;
}

async function main(): Promise<number> {
  // Help and version with --json are the text in a document.
  let text = '';
  try {
    const shibori = buildProgram(json ? { writeOut: (part) => (text += part), writeErr: () => {} } : {});
    await shibori.parseAsync(readArguments(shibori, process.argv.slice(2)), { from: 'user' });
    return process.exitCode === undefined ? 0 : Number(process.exitCode);
  } catch (error) {
    if (!(error instanceof CommanderError) || error.exitCode !== 0) return reportFailure(error);
    if (json) printJson({ [error.code === 'commander.version' ? 'version' : 'help']: text.trim() });
    return 0;
  }
}

// A reader that stops early (`| head`) is no error.
process.stdout.on('error', (error: NodeJS.ErrnoException) => {
  if (error.code === 'EPIPE') process.exit(0);
  throw error;
});
// What is thrown outside of the command's own calls, as in an event handler.
process.on('uncaughtException', (error) => process.exit(reportFailure(error)));
process.exitCode = await main();
