import { type Command, Option } from 'commander';

/** An option that has another name now. */
export interface RenamedOption {
  /** The old flags, such as `--bonds <ranks>`. */
  readonly flags: string;
  /** The new option, such as `--ranks`. */
  readonly to: string;
}

/** `imageLayout` of `--image-layout`. */
const toAttributeName = (flag: string): string =>
  flag.replace(/^--/, '').replace(/-([a-z])/g, (_, letter: string) => letter.toUpperCase());

/** Accepts an old name of an option, and prints one line that names the new one. */
export function addRenamedOptions(command: Command, renamed: readonly RenamedOption[]): Command {
  const used: string[] = [];
  for (const { flags, to } of renamed) {
    const target = command.options.find(({ long }) => long === to);
    if (!target) throw new Error(`unreachable: ${to} is added before its old name`);
    const old = new Option(flags).hideHelp();
    const parse = target.parseArg;
    old.argParser((text: string, previous: unknown) => {
      const value = parse ? parse(text, previous) : text;
      command.setOptionValueWithSource(toAttributeName(to), value, 'cli');
      used.push(`note: ${old.long} is called ${to} now; the old name will be removed in version 1.0`);
      return value;
    });
    command.addOption(old);
  }
  return command.hook('preAction', () => {
    const { json, quiet } = command.opts<{ json?: boolean; quiet?: boolean }>();
    if (!json && !quiet) for (const note of used) process.stderr.write(`${note}\n`);
  });
}
