import { mkdtempSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'vite';

/**
 * Bundles a TypeScript module for a process of its own, which a test may kill.
 *
 * @param entry path of the module.
 * @param folder where the bundle goes.
 * @returns path of a `.mjs` file that Node runs.
 */
export async function bundle(entry: string, folder: string): Promise<string> {
  const outDir = mkdtempSync(join(folder, 'bundle-'));
  await build({
    configFile: false,
    logLevel: 'error',
    build: {
      ssr: entry,
      outDir,
      minify: false,
      rollupOptions: { output: { entryFileNames: 'main.mjs', chunkFileNames: '[name].mjs' } },
    },
    ssr: { noExternal: true },
  });
  return join(outDir, 'main.mjs');
}
