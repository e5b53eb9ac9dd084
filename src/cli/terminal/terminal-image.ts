import sharp from 'sharp';

type Environment = Readonly<Record<string, string | undefined>>;

/** Ways to show a picture in a terminal. */
export type TerminalGraphics = 'kitty' | 'iterm2' | 'blocks' | 'none';

/** Guesses what the terminal can show from the environment variables that terminals set; `none` if they do not tell. */
export function detectTerminalGraphics(env: Environment = process.env): TerminalGraphics {
  const term = env.TERM ?? '';
  if (term === 'dumb') return 'none';
  // Multiplexers swallow pictures unless configured otherwise, but pass colours on. Their variables outlive the terminal's own.
  const multiplexed = env.TMUX !== undefined || env.STY !== undefined || /^(screen|tmux)/.test(term);
  if (!multiplexed) {
    if (env.KITTY_WINDOW_ID !== undefined || term === 'xterm-kitty' || term === 'xterm-ghostty') return 'kitty';
    const program = env.LC_TERMINAL ?? env.TERM_PROGRAM;
    if (program === 'iTerm2' || program === 'iTerm.app' || program === 'WezTerm') return 'iterm2';
  }
  const trueColor = env.COLORTERM === 'truecolor' || env.COLORTERM === '24bit';
  return trueColor && !env.NO_COLOR ? 'blocks' : 'none';
}

/** kitty takes base64 in chunks of at most this length. Source: its "Terminal graphics protocol". */
const KITTY_CHUNK = 4096;

function encodeKitty(png: Uint8Array): string {
  const base64 = Buffer.from(png).toString('base64');
  const chunks = base64.match(new RegExp(`.{1,${KITTY_CHUNK}}`, 'g')) ?? [];
  // f=100: a PNG. a=T: show it at once. q=2: no answer, which would arrive as if typed. m=1: more chunks follow.
  const parts = chunks.map((chunk, i) => {
    const more = i < chunks.length - 1 ? 1 : 0;
    return `\x1b_G${i === 0 ? 'f=100,a=T,q=2,' : ''}m=${more};${chunk}\x1b\\`;
  });
  return `${parts.join('')}\n`;
}

/** Source: iTerm2's "Inline images protocol". */
function encodeIterm2(png: Uint8Array): string {
  const base64 = Buffer.from(png).toString('base64');
  return `\x1b]1337;File=inline=1;size=${png.length};preserveAspectRatio=1:${base64}\x07\n`;
}

/** Two pixels a character: `▀` in the upper pixel's colour, on the lower pixel's. */
async function encodeBlocks(png: Uint8Array, columns: number): Promise<string> {
  const { data, info } = await sharp(png)
    .flatten({ background: '#ffffff' })
    .toColourspace('srgb')
    .resize({ width: columns, withoutEnlargement: true })
    .raw()
    .toBuffer({ resolveWithObject: true });
  const colorAt = (x: number, y: number) => {
    const at = (y * info.width + x) * info.channels;
    return `${data[at]};${data[at + 1]};${data[at + 2]}`;
  };
  let text = '';
  for (let y = 0; y < info.height; y += 2) {
    for (let x = 0; x < info.width; x++) {
      const lower = y + 1 < info.height ? `\x1b[48;2;${colorAt(x, y + 1)}m` : '';
      text += `\x1b[38;2;${colorAt(x, y)}m${lower}▀`;
    }
    text += '\x1b[0m\n';
  }
  return text;
}

/**
 * A PNG as text that shows it when written to a terminal: by the protocols of kitty and iTerm2, else as half blocks in
 * 24-bit colours, else an empty string. The caller writes it only to a terminal.
 *
 * @param options.env Default: the process's environment.
 * @param options.columns Width of half blocks in characters. Default: the terminal's, at most 120.
 */
export async function encodeTerminalImage(
  png: Uint8Array,
  options: { readonly env?: Environment; readonly columns?: number } = {},
): Promise<string> {
  switch (detectTerminalGraphics(options.env)) {
    case 'kitty':
      return encodeKitty(png);
    case 'iterm2':
      return encodeIterm2(png);
    case 'blocks':
      return encodeBlocks(png, options.columns ?? Math.min(process.stdout.columns || 80, 120));
    case 'none':
      return '';
  }
}
