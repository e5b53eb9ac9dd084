import { describe, expect, it } from 'vitest';
import { IMAGENET_MEAN, IMAGENET_STD } from '../../src/data/preprocess.js';
import { UsageError } from '../../src/errors.js';
import {
  describePreprocess,
  type InputFacts,
  type PreprocessSource,
  resolvePreprocess,
  toPreprocessParts,
} from '../../src/models/preprocessing.js';

const facts: InputFacts = {
  channels: 3,
  layout: 'nchw',
  takesBytes: false,
  size: { from: 'graph', value: [224, 224] },
};
const config: PreprocessSource = {
  from: 'preprocessor_config.json',
  parts: {
    size: [224, 224],
    resize: { resize: 'shorter-side', shorterSide: 256 },
    filter: 'bicubic',
    normalization: { mean: [0.5, 0.5, 0.5], std: [0.5, 0.5, 0.5] },
  },
};
const metadata: PreprocessSource = { from: 'metadata', parts: { filter: 'lanczos' } };

describe('resolvePreprocess', () => {
  it('takes each part from the strongest source: options, metadata, configuration, a guess', () => {
    const resolved = resolvePreprocess({ color: 'bgr' }, [metadata, config], facts);
    expect(resolved).toEqual({
      preprocess: {
        size: [224, 224],
        resize: 'shorter-side',
        shorterSide: 256,
        filter: 'lanczos',
        color: 'bgr',
        mean: [0.5, 0.5, 0.5],
        std: [0.5, 0.5, 0.5],
      },
      from: {
        size: 'graph',
        resize: 'preprocessor_config.json',
        filter: 'metadata',
        color: 'option',
        normalization: 'preprocessor_config.json',
      },
    });
  });

  it('guesses by what the graph takes', () => {
    const normalization = (some: Partial<InputFacts>) => {
      const { range, mean, std } = resolvePreprocess({}, [], { ...facts, ...some })?.preprocess ?? {};
      return { range, mean, std };
    };
    expect(normalization({})).toEqual({ range: undefined, mean: IMAGENET_MEAN, std: IMAGENET_STD });
    expect(normalization({ layout: 'nhwc' })).toEqual({ range: [-1, 1], mean: [0], std: [1] });
    expect(normalization({ takesBytes: true })).toEqual({ range: [0, 255], mean: [0], std: [1] });
    expect(normalization({ channels: 1 })).toEqual({ range: undefined, mean: [0], std: [1] });
    expect(resolvePreprocess({}, [], { ...facts, channels: 1 })?.preprocess.color).toBe('gray');
  });

  it('does not know the size where nobody says it', () => {
    const { size: _, ...open } = facts;
    expect(resolvePreprocess({}, [metadata], open)).toBeUndefined();
    expect(resolvePreprocess({}, [config], open)?.from.size).toBe('preprocessor_config.json');
  });

  it('brings a resize that was made for another size into proportion', () => {
    const bigger = { ...facts, size: { from: 'option', value: [448, 448] } as const };
    expect(resolvePreprocess({}, [config], bigger)?.preprocess.shorterSide).toBe(512);
  });

  it('lets --scale alone stand for the whole normalisation, and mean and std complete it', () => {
    const normalization = (options: Parameters<typeof resolvePreprocess>[0]) => {
      const { range, mean, std } = resolvePreprocess(options, [config], facts)?.preprocess ?? {};
      return { range, mean, std };
    };
    expect(normalization({ range: [0, 255] })).toEqual({ range: [0, 255], mean: [0], std: [1] });
    expect(normalization({ range: [0, 255], mean: [104, 117, 124] })).toEqual({
      range: [0, 255],
      mean: [104, 117, 124],
      std: [1],
    });
    expect(normalization({ mean: [0.4] })).toEqual({ range: undefined, mean: [0.4], std: [0.5, 0.5, 0.5] });
  });

  describe('an option of normalisation means pixels in 0…1 unless --scale is given, and is never combined with a guess', () => {
    const nhwc: InputFacts = { ...facts, layout: 'nhwc' };
    const inBytes: PreprocessSource = {
      from: 'preprocessor_config.json',
      parts: { normalization: { range: [0, 255], mean: [127.5], std: [127.5] } },
    };
    const half = [0.5, 0.5, 0.5];
    const rows: readonly [string, Parameters<typeof resolvePreprocess>[0], PreprocessSource[], InputFacts, object][] = [
      ['mean and std, NHWC', { mean: half, std: half }, [], nhwc, { mean: half, std: half }],
      ['mean and std, NCHW', { mean: half, std: half }, [], facts, { mean: half, std: half }],
      ['std alone', { std: [0.25] }, [], nhwc, { mean: [0], std: [0.25] }],
      ['mean alone', { mean: half }, [], nhwc, { mean: half, std: [1] }],
      ['mean alone where ImageNet’s std would be guessed', { mean: half }, [], facts, { mean: half, std: [1] }],
      ['scale alone', { range: [-1, 1] }, [], facts, { range: [-1, 1], mean: [0], std: [1] }],
      ['scale and mean', { range: [0, 255], mean: [127] }, [], nhwc, { range: [0, 255], mean: [127], std: [1] }],
      ['mean alone, std known for the same pixels', { mean: [0.4] }, [config], nhwc, { mean: [0.4], std: half }],
      ['mean alone, std known for other pixels', { mean: [0.4] }, [inBytes], nhwc, { mean: [0.4], std: [1] }],
      [
        'mean for a file of bytes',
        { mean: [100] },
        [],
        { ...nhwc, takesBytes: true },
        { range: [0, 255], mean: [100], std: [1] },
      ],
    ];
    for (const [name, options, known, about, expected] of rows) {
      it(name, () => {
        const { preprocess, from } = resolvePreprocess(options, known, about) ?? {};
        const { range, mean, std } = preprocess ?? {};
        expect({ range, mean, std }).toEqual({ range: undefined, ...expected });
        expect(from?.normalization).toBe('option');
      });
    }
  });

  it('refuses options that contradict each other or the model', () => {
    const fails: [Parameters<typeof resolvePreprocess>[0], RegExp][] = [
      [{ mean: [123, 117, 104] }, /far outside of 0…1.*`range: \[0, 255\]`/],
      [{ std: [0] }, /above 0/],
      [{ crop: 2 }, /`crop` is a fraction/],
      [{ crop: 0.5, shorterSide: 256 }, /either/],
      [{ resize: 'stretch', crop: 0.9 }, /not for stretch/],
      [{ shorterSide: 100 }, /100 is too little/],
      [{ color: 'gray' }, /3 channels, which are not "gray"/],
    ];
    for (const [options, message] of fails) {
      expect(() => resolvePreprocess(options, [], facts)).toThrow(message);
      expect(() => resolvePreprocess(options, [], facts)).toThrow(UsageError);
    }
    const grey = { ...facts, channels: 1 };
    expect(() =>
      resolvePreprocess({}, [{ from: 'f.json', parts: { normalization: { mean: [1, 2, 3], std: [1] } } }], grey),
    ).toThrow(/f\.json.*mean has 3 numbers.*1 channel\./);
  });

  it('takes guesses that were written down for guesses still', () => {
    const guess = resolvePreprocess({}, [], facts)?.preprocess;
    if (!guess) throw new Error('unreachable: the size is known');
    const layer = { from: 'metadata', parts: toPreprocessParts(guess, ['normalization', 'filter']) };
    expect(resolvePreprocess({}, [layer, config], facts)?.from).toMatchObject({
      normalization: 'preprocessor_config.json',
      filter: 'preprocessor_config.json',
      resize: 'metadata',
    });
  });

  it('is described in words', () => {
    const resolved = resolvePreprocess({ range: [-1, 1], crop: 0.875 }, [config], facts);
    if (!resolved) throw new Error('unreachable: the size is known');
    expect(describePreprocess(resolved.preprocess)).toEqual({
      size: '224×224 pixels',
      resize: 'shorter side to 256, middle cut out',
      filter: 'bicubic',
      color: 'rgb',
      normalization: 'pixels to -1…1',
    });
  });
});
