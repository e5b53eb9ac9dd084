import { existsSync } from 'node:fs';
import { join, resolve } from 'node:path';

/** Where the real checkpoint, images and reference values are, beside the project. */
export const sharedData = resolve(process.env.SHIBORI_DATA ?? resolve(import.meta.dirname, '../../../shared/data'));

/** A file of the shared data. */
export const shared = (...parts: string[]): string => join(sharedData, ...parts);

/** Whether the shared data is there. */
export const hasSharedData: boolean = existsSync(shared('tiny-imagenet-vgg-finetuned.pt'));
