/** How the first characters of a file that is no model betray what it is, and what to do about it. */
const otherFormats: readonly { readonly pattern: RegExp; what(match: RegExpExecArray): string }[] = [
  {
    pattern: /^version https:\/\/git-lfs\.github\.com\/spec\/v1\n(?:.*\n)*?size (\d+)/,
    what: ([, size]) =>
      `it is a Git LFS pointer to a file of ${size} bytes, not the file itself. Run \`git lfs pull\`, or download the model by its own link`,
  },
  {
    pattern: /^\s*<(?:!doctype|html|head|\?xml|svg)/i,
    what: () =>
      'it is a web page (HTML), as servers send instead of a file that is missing or needs a login. Download the model again',
  },
  {
    pattern: /^\s*\{\s*"/,
    what: () => 'it is a JSON document, perhaps the answer of a server. Download the model again',
  },
];

/** What a file really is that was saved under a model's name; `undefined` where it may be a model. */
export function detectOtherFormat(bytes: Uint8Array): string | undefined {
  // Each byte a character: most of what is looked for is ASCII.
  const start = String.fromCharCode(...bytes.subarray(0, 512));
  for (const { pattern, what } of otherFormats) {
    const match = pattern.exec(start);
    if (match) return what(match);
  }
  return undefined;
}
