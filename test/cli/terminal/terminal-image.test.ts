import sharp from 'sharp';
import { describe, expect, it } from 'vitest';
import { detectTerminalGraphics, encodeTerminalImage } from '../../../src/cli/terminal/terminal-image.js';
import { seeded } from '../../../src/tensor/random.js';

// Noise does not compress, so that the PNG takes several chunks.
const random = seeded(1);
const noise = Uint8Array.from({ length: 60 * 50 * 3 }, () => random.integer(256));
const png = await sharp(noise, { raw: { width: 60, height: 50, channels: 3 } })
  .png()
  .toBuffer();

describe('terminalGraphics', () => {
  it('knows terminals by what they say of themselves', () => {
    expect(detectTerminalGraphics({ TERM: 'xterm-kitty' })).toBe('kitty');
    expect(detectTerminalGraphics({ TERM: 'xterm-256color', KITTY_WINDOW_ID: '1' })).toBe('kitty');
    expect(detectTerminalGraphics({ TERM: 'xterm-ghostty', COLORTERM: 'truecolor' })).toBe('kitty');
    expect(detectTerminalGraphics({ TERM_PROGRAM: 'iTerm.app', TERM: 'xterm-256color' })).toBe('iterm2');
    expect(detectTerminalGraphics({ TERM_PROGRAM: 'WezTerm', COLORTERM: 'truecolor' })).toBe('iterm2');
    expect(detectTerminalGraphics({ LC_TERMINAL: 'iTerm2', TERM: 'xterm' })).toBe('iterm2');
    expect(detectTerminalGraphics({ TERM: 'xterm-256color', COLORTERM: 'truecolor' })).toBe('blocks');
  });

  it('falls back where pictures or colours would arrive as rubbish', () => {
    expect(detectTerminalGraphics({ TERM: 'screen-256color', KITTY_WINDOW_ID: '1', TMUX: '/tmp/x' })).toBe('none');
    expect(detectTerminalGraphics({ TERM: 'tmux-256color', TERM_PROGRAM: 'tmux', COLORTERM: 'truecolor' })).toBe(
      'blocks',
    );
    expect(detectTerminalGraphics({ TERM: 'xterm', COLORTERM: 'truecolor', NO_COLOR: '1' })).toBe('none');
    expect(detectTerminalGraphics({ TERM: 'dumb', COLORTERM: 'truecolor' })).toBe('none');
    expect(detectTerminalGraphics({ TERM: 'xterm-256color' })).toBe('none');
    expect(detectTerminalGraphics({})).toBe('none');
  });
});

describe('terminalImage', () => {
  it('sends the PNG itself to kitty, in chunks of at most 4,096 characters', async () => {
    const text = await encodeTerminalImage(png, { env: { TERM: 'xterm-kitty' } });
    // biome-ignore lint/suspicious/noControlCharactersInRegex: escapes are the subject
    const parts = [...text.matchAll(/\x1b_G([^;]*);([^\x1b]*)\x1b\\/g)];
    expect(parts.length).toBeGreaterThan(1);
    expect(`${parts.map((part) => part[0]).join('')}\n`).toBe(text);
    expect(parts[0]?.[1]).toBe('f=100,a=T,q=2,m=1');
    expect(parts.at(-1)?.[1]).toBe('m=0');
    expect(Math.max(...parts.map((part) => part[2]?.length ?? 0))).toBe(4096);
    expect(Buffer.from(parts.map((part) => part[2]).join(''), 'base64').equals(png)).toBe(true);
  });

  it('sends it to iTerm2 with its size', async () => {
    const text = await encodeTerminalImage(png, { env: { TERM_PROGRAM: 'iTerm.app' } });
    const [head, base64] = text.split(':');
    expect(head).toBe(`\x1b]1337;File=inline=1;size=${png.length};preserveAspectRatio=1`);
    expect(Buffer.from(base64?.replace('\x07\n', '') ?? '', 'base64').equals(png)).toBe(true);
  });

  it('draws half blocks: the upper pixel in front, the lower behind, an odd last line alone', async () => {
    const env = { COLORTERM: 'truecolor' };
    const pixels = Uint8Array.of(255, 0, 0, 0, 0, 255, 1, 2, 3);
    const small = await sharp(pixels, { raw: { width: 1, height: 3, channels: 3 } })
      .png()
      .toBuffer();
    expect(await encodeTerminalImage(small, { env, columns: 80 })).toBe(
      '\x1b[38;2;255;0;0m\x1b[48;2;0;0;255m▀\x1b[0m\n\x1b[38;2;1;2;3m▀\x1b[0m\n',
    );
    const lines = (await encodeTerminalImage(png, { env, columns: 20 })).trimEnd().split('\n');
    expect(lines).toHaveLength(9);
    for (const line of lines) expect(line.split('▀')).toHaveLength(21);
  });

  it('is empty where nothing can be shown', async () => {
    expect(await encodeTerminalImage(png, { env: {} })).toBe('');
  });
});
