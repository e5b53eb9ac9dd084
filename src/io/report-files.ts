import { join } from 'node:path';
import type { Report } from '../report/report-page.js';
import { writeFileAtomic } from './atomic-file.js';

/**
 * Writes a report into a folder: `report.html`, its results as `report.json`, charts and tables in `figures/`.
 *
 * @returns path of the page.
 */
export async function writeReport(folder: string, report: Report, results: unknown): Promise<string> {
  const page = join(folder, 'report.html');
  for (const { path, text } of report.files) await writeFileAtomic(join(folder, path), text);
  await writeFileAtomic(join(folder, 'report.json'), `${JSON.stringify(results, null, 2)}\n`);
  await writeFileAtomic(page, report.html);
  return page;
}
