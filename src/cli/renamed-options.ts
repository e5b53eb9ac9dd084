import { type Command, Option } from 'commander';

/** Describes an option that has another name now. */
export interface RenamedOption {
  /** The old flags, such as `--bonds <ranks>`. */
  readonly flags: string;
  /** The new option, such as `--ranks`. */
  readonly to: string;
}

/** Remarks about old names that a call used, by command. */
const remarks = new WeakMap<Command, Set<string>>();

/** Returns `imageLayout` for `--image-layout`. */
const toAttributeName = (flag: string): string =>
  flag.replace(/^--/, '').replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());

/** Starts the remarks of a command, which are printed once each before it runs. */
function startRemarks(command: Command): Set<string> {
  const known = remarks.get(command);
  if (known) return known;
  const used = new Set<string>();
  remarks.set(command, used);
  command.hook('preAction', () => {
    const { json, quiet } = command.opts<{ json?: boolean; quiet?: boolean }>();
    if (!json && !quiet) for (const remark of used) process.stderr.write(`${remark}\n`);
  });
  return used;
}

const describeRenaming = (old: string, name: string): string =>
  `note: ${old} is called ${name} now; the old name will be removed in version 1.0`;

function findOption(command: Command, name: string): Option {
  const found = command.options.find(({ long }) => long === name);
  if (!found) throw new Error(`The option ${name} is to be added before its old name.`);
  return found;
}

/** Accepts old names of options, and prints one line that names the new one. */
export function addRenamedOptions(command: Command, renamed: readonly RenamedOption[]): Command {
  const used = startRemarks(command);
  for (const { flags, to } of renamed) {
    const old = new Option(flags).hideHelp();
    const parse = findOption(command, to).parseArg;
    old.argParser((text: string, previous: unknown) => {
      const value = parse ? parse(text, previous) : text;
      command.setOptionValueWithSource(toAttributeName(to), value, 'cli');
      used.add(describeRenaming(old.long ?? flags, to));
      return value;
    });
    command.addOption(old);
  }
  return command;
}

/**
 * Accepts old names of an option's values, and prints one line that names the new one.
 *
 * @param values new values by old ones.
 */
export function addRenamedValues(command: Command, option: string, values: Readonly<Record<string, string>>): Command {
  const used = startRemarks(command);
  const target = findOption(command, option);
  const parse = target.parseArg;
  target.argParser((text: string, previous: unknown) => {
    const name = Object.hasOwn(values, text) ? values[text] : undefined;
    if (name !== undefined) used.add(describeRenaming(`${option} ${text}`, `${option} ${name}`));
    const value = name ?? text;
    return parse ? parse(value, previous) : value;
  });
  return command;
}
