import { type Command, Option } from 'commander';
import { addRenamedValues } from './renamed-options.js';

/** Names on the command line of how a tensor train runs. */
const executions = { factorised: 'factored', reconstructed: 'rebuilt', auto: 'auto' } as const;

/** Names how a tensor train runs, as the command line does. */
export type ExecutionName = keyof typeof executions;

/** Adds `--execution`, which also takes the old names of its values. */
export function addExecutionOption(command: Command, description: string): Command {
  command.addOption(new Option('--execution <how>', description).choices(Object.keys(executions)));
  return addRenamedValues(command, '--execution', { factored: 'factorised', rebuilt: 'reconstructed' });
}

/** Returns how a tensor train runs in the form of the library. */
export function toExecution<Name extends ExecutionName>(name: Name): (typeof executions)[Name] {
  return executions[name];
}
