import { describe, expect, it } from 'vitest';
import { ShiboriError } from '../../src/errors.js';
import { parseModelConfig, parsePreprocessorConfig } from '../../src/models/model-config.js';

const partsOf = (config: object) => parsePreprocessorConfig(JSON.stringify(config), 'preprocessor_config.json').parts;
const refusal = (parse: typeof parseModelConfig, text: string): string => {
  try {
    parse(text, 'folder/config.json');
  } catch (error) {
    if (error instanceof ShiboriError) return error.message;
    throw error;
  }
  return '';
};

describe('preprocessor_config.json', () => {
  it('stretches to { height, width } and to a plain number, as ViT’s does', () => {
    const size = { size: [224, 192], resize: { resize: 'stretch' } };
    expect(partsOf({ size: { height: 224, width: 192 }, resample: 2 })).toEqual({ ...size, filter: 'bilinear' });
    expect(partsOf({ size: 96 })).toEqual({ size: [96, 96], resize: { resize: 'stretch' } });
    expect(partsOf({ size: [224, 192] })).toEqual(size);
  });

  it('brings the shorter side to shortest_edge and cuts crop_size, as CLIP’s and older files do', () => {
    const parts = { size: [224, 224], resize: { resize: 'shorter-side', shorterSide: 256 } };
    const crop = { do_center_crop: true, crop_size: { height: 224, width: 224 } };
    expect(partsOf({ size: { shortest_edge: 256 }, ...crop })).toEqual(parts);
    expect(partsOf({ size: 256, do_center_crop: true, crop_size: 224 })).toEqual(parts);
    // DeiT's stretches first, then cuts.
    expect(partsOf({ size: { height: 256, width: 256 }, ...crop })).toEqual({
      size: [224, 224],
      resize: { resize: 'stretch', stretchSize: [256, 256] },
    });
  });

  it('reads crop_pct as ConvNeXT’s does: int(224 / 0.875) = 256, from 384 on stretched', () => {
    const kind = { image_processor_type: 'ConvNextImageProcessor', crop_pct: 0.875 };
    expect(partsOf({ ...kind, size: { shortest_edge: 224 } })).toEqual({
      size: [224, 224],
      resize: { resize: 'shorter-side', shorterSide: 256 },
    });
    expect(partsOf({ ...kind, size: { shortest_edge: 384 } })).toEqual({
      size: [384, 384],
      resize: { resize: 'stretch' },
    });
  });

  it('reads filters by Pillow’s number and by name', () => {
    const filters = [0, 1, 2, 3, 4, 5, 'BICUBIC', 'lanczos'].map((resample) => partsOf({ resample }).filter);
    expect(filters).toEqual(['nearest', 'lanczos', 'bilinear', 'bicubic', 'box', 'hamming', 'bicubic', 'lanczos']);
  });

  it('reads scale and normalisation, whichever of them are switched off', () => {
    const half = { image_mean: [0.5, 0.5, 0.5], image_std: [0.25, 0.25, 0.25] };
    const [mean, std] = [half.image_mean, half.image_std];
    expect(partsOf({ ...half, rescale_factor: 0.00392156862745098 }).normalization).toEqual({ mean, std });
    expect(partsOf({ ...half, do_rescale: false }).normalization).toEqual({ range: [0, 255], mean, std });
    expect(partsOf({ ...half, do_normalize: false }).normalization).toEqual({ mean: [0], std: [1] });
    const offset = { do_normalize: false, rescale_factor: 1 / 127.5, rescale_offset: true };
    expect(partsOf(offset).normalization).toEqual({ range: [-1, 1], mean: [0], std: [1] });
    // EfficientNet's image processor divides by the deviations twice.
    expect(partsOf({ ...half, include_top: true }).normalization).toEqual({ mean, std: [0.0625, 0.0625, 0.0625] });
    expect(partsOf({ feature_size: 80 })).toEqual({});
  });

  it('gives blue first where the channels are flipped, and keeps the size where nothing is resized', () => {
    expect(partsOf({ do_flip_channel_order: true }).color).toBe('bgr');
    expect(partsOf({ do_resize: false, size: 28 })).toEqual({ size: [28, 28], resize: { resize: 'none' } });
  });

  it('names file and field of what it does not understand', () => {
    const fails: [object, RegExp][] = [
      [{ size: { longest_edge: 800 } }, /field "size": expected a number of pixels/],
      [{ image_mean: 'x' }, /field "image_mean": expected a number, or one for each channel/],
      [{ image_mean: [0.5], image_std: [0] }, /field "image_std": must be above 0/],
      [{ resample: 9 }, /field "resample"/],
      [{ do_resize: 'yes' }, /field "do_resize"/],
    ];
    for (const [config, message] of fails) {
      const text = refusal(parsePreprocessorConfig, JSON.stringify(config));
      expect(text).toMatch(message);
      expect(text).toContain('folder/config.json');
    }
    expect(refusal(parsePreprocessorConfig, '{ "size": ')).toMatch(/folder\/config.json.*is not JSON/);
    expect(refusal(parsePreprocessorConfig, '[1]')).toMatch(/expected a JSON object/);
  });
});

describe('config.json', () => {
  const read = (config: object) => parseModelConfig(JSON.stringify(config), 'config.json');

  it('orders id2label by number, and reads label2id where that is all there is', () => {
    const names = Array.from({ length: 12 }, (_, id) => `class of ${id}`);
    const id2label = Object.fromEntries([...names.entries()].reverse().map(([id, name]) => [`${id}`, name]));
    expect(read({ id2label }).classes).toEqual(names);
    expect(read({ label2id: { b: '1', a: 0 } }).classes).toEqual(['a', 'b']);
    expect(read({ id2label: { 0: 'LABEL_0', 1: 'LABEL_1' } }).classes).toBeUndefined();
  });

  it('names the class that is missing, and keys that are no numbers', () => {
    expect(refusal(parseModelConfig, '{"id2label":{"0":"a","2":"c"}}')).toMatch(/"id2label".*none has the number 1/);
    expect(refusal(parseModelConfig, '{"id2label":{"zero":"a"}}')).toMatch(/field "id2label.zero"/);
  });

  it('reads timm’s, nested and old', () => {
    const cfg = {
      input_size: [3, 224, 224],
      mean: [0.5, 0.5, 0.5],
      std: [0.5, 0.5, 0.5],
      crop_pct: 0.9,
      interpolation: 'bicubic',
    };
    const parts = {
      size: [224, 224],
      resize: { resize: 'shorter-side', shorterSide: 248 },
      filter: 'bicubic',
      normalization: { mean: cfg.mean, std: cfg.std },
    };
    expect(read(cfg)).toEqual({ parts });
    const named = { label_names: ['n1', 'n2'], label_descriptions: { n1: 'goldfish' } };
    expect(read({ architecture: 'vit', pretrained_cfg: cfg, ...named })).toEqual({
      parts,
      classes: ['goldfish', 'n2'],
    });
    expect(read({ pretrained_cfg: { ...cfg, crop_mode: 'squash' } }).parts.resize).toEqual({
      resize: 'stretch',
      stretchSize: [248, 248],
    });
    expect(refusal(parseModelConfig, '{"pretrained_cfg":{"mean":"x"}}')).toMatch(/field "pretrained_cfg.mean"/);
  });

  it('of something else says nothing', () => {
    expect(read({ compilerOptions: {}, size: 'large' })).toEqual({ parts: {} });
  });
});
