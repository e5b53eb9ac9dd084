import { type Command, Help, type Option } from 'commander';

/** Headings of the help, in the order in which commands add them. */
export const GROUPS = {
  images: 'Images:',
  model: 'Model file:',
  scores: 'Scores (default: as the graph shows):',
  preprocessing: 'Preprocessing (default: as the model file says):',
  common: 'Output and machine:',
} as const;

/** The help of `--seed`, which means the same everywhere. */
export const SEED_HELP = 'seed of everything random (default: 42)';

const baseHelp = new Help();
/** Groups that `--help` names only; `--help-all` describes their options. */
const rareGroups = new WeakMap<Command, Set<string>>();
const commandsWithFullHelp = new WeakSet<Command>();

/** Starts a group of options that most runs do not need: `--help` only names them. */
export function startRareGroup(command: Command, heading: string): Command {
  const groups = rareGroups.get(command) ?? new Set();
  rareGroups.set(command, groups.add(heading));
  return command.optionsGroup(heading);
}

function isRare(command: Command, { helpGroupHeading }: Option): boolean {
  return helpGroupHeading !== undefined && rareGroups.get(command)?.has(helpGroupHeading) === true;
}

/** Breaks a list of words into lines of at most so many characters. */
function wrapWords(words: readonly string[], width: number): string {
  const lines: string[] = [];
  for (const word of words) {
    const last = lines.at(-1);
    if (last === undefined || `${last} ${word}`.length > width) lines.push(word);
    else lines[lines.length - 1] = `${last} ${word}`;
  }
  return lines.map((line) => `  ${line}`).join('\n');
}

/** One example, continued with backslashes where it is longer than a line. */
function formatExample(text: string): string {
  return wrapWords(text.split(' '), 74).replaceAll('\n', ' \\\n    ');
}

/** Makes the help of a command short: options in groups, rare ones named only, everything with `--help-all`. */
export function configureShortHelp(command: Command, examples: readonly string[]): Command {
  return command
    .configureHelp({
      visibleOptions: (shown) => {
        const all = baseHelp.visibleOptions(shown);
        return commandsWithFullHelp.has(shown) ? all : all.filter((option) => !isRare(shown, option));
      },
    })
    .option('--help-all', 'display help with rarely needed options')
    .helpOption('-h, --help', 'display help')
    .on('option:help-all', () => {
      commandsWithFullHelp.add(command);
      command.help();
    })
    .addHelpText(
      'after',
      `\n${examples.length > 1 ? 'Examples' : 'Example'}:\n${examples.map(formatExample).join('\n')}`,
    )
    .addHelpText('after', ({ command: shown }) => {
      const rare = commandsWithFullHelp.has(shown)
        ? []
        : baseHelp.visibleOptions(shown).filter((option) => isRare(shown, option));
      if (rare.length === 0) return '';
      return `\nMore options (--help-all describes them):\n${wrapWords(
        rare.map(({ long, flags }) => long ?? flags),
        76,
      )}`;
    });
}
