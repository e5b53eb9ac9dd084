import { formatPythonName } from './pickle-values.js';

/** Python's ways to run programs, open files and import modules: no checkpoint needs any. */
const SUSPICIOUS = [
  /^(os|posix|nt|sys|subprocess|shutil|socket|pty|runpy|importlib|imp|ctypes|webbrowser|platform|commands|code|pdb|bdb)(\.|$)/,
  /^(builtins|__builtin__)\.(eval|exec|execfile|compile|open|__import__|input|breakpoint)$/,
  /(^|\.)os\.system$/,
];

/** Those of the called names that no weights need, for messages. */
export function listSuspiciousCalls(called: Iterable<string>): string[] {
  const found = [...called].filter((name) => SUSPICIOUS.some((pattern) => pattern.test(name)));
  return found.slice(0, 5).map(formatPythonName);
}
