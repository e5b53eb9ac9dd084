import sharp from 'sharp';

/** A way of showing pictures that terminals have. */
export type TerminalProtocol = 'kitty' | 'iterm2' | 'half-blocks' | 'none';

/** Kitty takes a picture in pieces of at most so many characters. */
const KITTY_CHUNK = 4096;

/** What the terminal can show, told from its environment. */
export function terminalProtocol(env: Readonly<Record<string, string | undefined>>): TerminalProtocol {
  if (env.KITTY_WINDOW_ID || env.TERM === 'xterm-kitty' || env.TERM_PROGRAM === 'ghostty') return 'kitty';
  if (env.TERM_PROGRAM === 'iTerm.app' || env.TERM_PROGRAM === 'WezTerm' || env.LC_TERMINAL === 'iTerm2') return 'iterm2';
  return env.COLORTERM === 'truecolor' || env.COLORTERM === '24bit' ? 'half-blocks' : 'none';
}

function kitty(png: Uint8Array): string {
  const data = Buffer.from(png).toString('base64');
  const pieces: string[] = [];
  for (let at = 0; at < data.length; at += KITTY_CHUNK) {
    const more = at + KITTY_CHUNK < data.length ? 1 : 0;
    pieces.push(`\u001b_G${at === 0 ? 'a=T,f=100,' : ''}m=${more};${data.slice(at, at + KITTY_CHUNK)}\u001b\\`);
  }
  return `${pieces.join('')}\n`;
}

async function halfBlocks(png: Uint8Array, columns: number): Promise<string> {
  const { data, info } = await sharp(png)
    .resize({ width: columns, withoutEnlargement: true })
    .removeAlpha()
    .raw()
    .toBuffer({ resolveWithObject: true });
  const color = (x: number, y: number) => {
    const at = (Math.min(y, info.height - 1) * info.width + x) * 3;
    return `${data[at]};${data[at + 1]};${data[at + 2]}`;
  };
  let text = '';
  for (let y = 0; y < info.height; y += 2) {
    for (let x = 0; x < info.width; x++) text += `\u001b[38;2;${color(x, y)}m\u001b[48;2;${color(x, y + 1)}m▀`;
    text += '\u001b[0m\n';
  }
  return text;
}

/**
 * A PNG as text that a terminal shows as a picture: the protocols of kitty and iTerm2, else half blocks in 24-bit colour.
 * Empty where the terminal can do none of these.
 */
export async function terminalImage(
  png: Uint8Array,
  options: { readonly env?: Readonly<Record<string, string | undefined>>; readonly columns?: number } = {},
): Promise<string> {
  const protocol = terminalProtocol(options.env ?? process.env);
  if (protocol === 'kitty') return kitty(png);
  if (protocol === 'iterm2') {
    return `\u001b]1337;File=inline=1;size=${png.length}:${Buffer.from(png).toString('base64')}\u0007\n`;
  }
  return protocol === 'half-blocks' ? halfBlocks(png, options.columns ?? process.stdout.columns ?? 80) : '';
}
