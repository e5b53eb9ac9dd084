import type { ExplainResult } from '../workflows/explain.js';

/** Holds what `explain --json` prints of an image: files in place of tensors. */
export type ExplainedImageJson = Omit<ExplainResult['images'][number], 'map' | 'mapFile' | 'pictureFile'> & {
  readonly map: string | null;
  readonly picture: string | null;
};

/** Holds what `explain --json` prints. */
export type ExplainJson = Omit<ExplainResult, 'images'> & { readonly images: readonly ExplainedImageJson[] };

/** Replaces the maps of a result by the names of their files. */
export function toExplainJson({ images, ...result }: ExplainResult): ExplainJson {
  return {
    ...result,
    images: images.map(({ map: _, mapFile, pictureFile, ...image }) => ({
      ...image,
      map: mapFile ?? null,
      picture: pictureFile ?? null,
    })),
  };
}
