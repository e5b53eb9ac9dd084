import type { RunContext } from '../context/run-context.js';
import { getItem, isLabelled } from '../data/image-items.js';
import { type ComparedMaps, explainWithBoth, type MapPair } from '../evaluation/compare-maps.js';
import type { ComparedModels } from '../evaluation/compare-predictions.js';
import type { ExplainedImage } from '../evaluation/explain-images.js';
import { mapLabels } from '../evaluation/label-map.js';
import type { Dataset } from '../images/open-dataset.js';
import { pickWorst } from '../metrics/pick-worst.js';
import type { Flip } from '../report/comparison.js';
import type { MapPanel, Picture, PictureGroup } from '../report/picture-html.js';
import { defined } from '../values.js';
import { drawPanels, encodeWebp } from './panel.js';

/** Comes before every correlation: one of the models explains nothing. */
const CONSTANT_MAP = 3;

/** What pictures are chosen from. */
export interface PictureChoice {
  readonly maps: ComparedMaps;
  readonly flips: readonly Flip[];
  /** Positions in the data set of images that are drawn in any case. */
  readonly featured: readonly number[];
  /** Pictures besides these: half of them for the maps, half for the predictions. */
  readonly count: number;
}

/** Positions of the images of each group. */
function chooseImages(
  { maps, flips, featured, count }: PictureChoice,
  dataset: Dataset,
): { title: string; indices: number[] }[] {
  const { items } = dataset.source;
  const positions = new Map(items.map(({ path }, index) => [path, index]));
  const taken = new Set(featured);
  const isFree = (index: number) => !taken.has(index);
  const measureBadness = ({ correlation }: MapPair) => (correlation === undefined ? CONSTANT_MAP : 1 - correlation);
  const lowest = pickWorst(
    maps.pairs.filter(({ index }) => isFree(index)),
    Math.ceil(count / 2),
    {
      group: ({ index, before }) =>
        isLabelled(dataset.source) ? getItem(dataset.source, index).label : before.predicted,
      badness: measureBadness,
    },
  ).map(({ index }) => index);
  for (const index of lowest) taken.add(index);
  const changed = pickWorst(
    flips.flatMap((flip) => {
      const index = positions.get(flip.file);
      return index !== undefined && isFree(index) ? [{ ...flip, index }] : [];
    }),
    count - lowest.length,
    {
      group: ({ label, before }) => label ?? before,
      badness: ({ probability }) => probability.before - probability.after,
    },
  ).map(({ index }) => index);
  return [
    { title: 'Chosen images', indices: [...featured] },
    { title: 'Lowest agreement of the maps, class by class', indices: lowest },
    { title: 'Changed predictions with the largest loss of probability, class by class', indices: changed },
  ];
}

async function drawPanel(explained: ExplainedImage): Promise<MapPanel> {
  const { targetProbability: probability } = explained;
  if (probability === null) throw new Error('unreachable: only classifiers are compared');
  const [, , overlay] = await drawPanels(explained.image, explained.map, explained.file);
  return {
    overlay: await encodeWebp(overlay),
    probability,
    isPredicted: explained.target === explained.predicted,
  };
}

async function drawPicture(pairs: readonly MapPair[], label: string | undefined): Promise<Picture> {
  const [first] = pairs;
  if (!first) throw new Error('unreachable: a picture has a map');
  const { image, map, file } = first.before;
  const [panel] = await drawPanels(image, map, file);
  const rows: Picture['rows'][number][] = [];
  for (const { before, after, correlation } of pairs) {
    rows.push({
      className: before.targetName,
      before: await drawPanel(before),
      after: await drawPanel(after),
      ...defined({ correlation }),
    });
  }
  return { file, image: await encodeWebp(panel), rows, ...defined({ label }) };
}

/**
 * Draws the images on which the models differ most, class by class: those whose maps agree least, and those whose
 * prediction lost most probability. Where the prediction changed, the maps of both classes are drawn.
 */
export async function drawPictures(
  models: ComparedModels,
  dataset: Dataset,
  choice: PictureChoice,
  names: readonly string[],
  context: RunContext,
): Promise<PictureGroup[]> {
  const groups = chooseImages(choice, dataset);
  const options = { layer: choice.maps.figures.layer, names };
  const { before, after } = models;
  const wanted = groups.flatMap(({ indices }) => indices.map((index) => ({ index })));
  const { pairs } = await explainWithBoth(before, after, dataset, wanted, options, context);
  const changed = pairs.filter((pair) => pair.before.predicted !== pair.after.predicted);
  const second = await explainWithBoth(
    before,
    after,
    dataset,
    changed.map(({ index, after: { predicted } }) => ({ index, target: predicted })),
    options,
    context,
  );
  const { outputs } = mapLabels(before, dataset.source);
  const drawn = new Map<number, Picture>();
  for (const pair of pairs) {
    const { index } = pair;
    const output = outputs[getItem(dataset.source, index).label];
    const both = [pair, ...second.pairs.filter((other) => other.index === index)];
    drawn.set(index, await drawPicture(both, output === undefined ? undefined : names[output]));
  }
  return groups.map(({ title, indices }) => ({ title, pictures: indices.flatMap((index) => drawn.get(index) ?? []) }));
}
