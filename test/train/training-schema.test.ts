import { readFileSync } from 'node:fs';
import { resolve } from 'node:path';
import { describe, expect, it } from 'vitest';
import { UsageError } from '../../src/errors.js';
import { buildInitialVgg } from '../../src/models/initial-vgg.js';
import { buildParameterGroups, buildSchedule, countStepsPerEpoch } from '../../src/recipes/plan-settings.js';
import { finetuneSchema, parseYaml, trainSchema } from '../../src/recipes/recipe.js';
import { tinyShape } from '../support/tiny-recipe.js';

const parse = (text: string) => parseYaml(text, 'plan.yaml', trainSchema);

describe('trainSchema', () => {
  it('gives each stage what stands beside the stages, and seeds of its own', () => {
    const plan = parse(`
head: auto
batch: 16
optimizer: { name: sgd, momentum: 0.9 }
clip: 1
ema: 0.99
stages:
  - { train: head, epochs: 10, learningRate: 0.1, schedule: cosine }
  - { batch: 8, optimizer: adamw, weightDecay: { value: 0.05, except: ['*.bias'], vectors: false }, learningRate: 0.01 }
`);
    expect(plan).toMatchObject({
      head: 'auto',
      init: 'pretrained',
      stages: [
        {
          train: 'head',
          epochs: 10,
          batch: 16,
          optimizer: { name: 'sgd', momentum: 0.9 },
          schedule: { name: 'cosine' },
          seed: 42,
        },
        { train: '*', epochs: 1, batch: 8, optimizer: { name: 'adamw' }, seed: 43 },
      ],
    });
    expect(plan.stages[0]).toMatchObject({ clip: { norm: 1 }, ema: { decay: 0.99, warmUp: true } });
    expect(plan.stages[1]?.weightDecay).toEqual({ value: 0.05, except: ['*.bias'], vectors: false });
  });

  it('is one stage where none are listed', () => {
    expect(parse('epochs: 3\nseed: 7\n').stages).toMatchObject([{ epochs: 3, seed: 7, train: '*' }]);
  });

  it('is what the recipe of the study says', () => {
    const file = 'recipes/tiny-imagenet-vgg16-train.yaml';
    const { head, stages } = parseYaml(
      readFileSync(resolve(import.meta.dirname, '../..', file), 'utf8'),
      file,
      trainSchema,
    );
    expect(head).toBe('compact');
    expect(
      stages.map(({ train, epochs, learningRate, schedule }) => ({ train, epochs, learningRate, schedule })),
    ).toEqual([
      { train: 'head', epochs: 10, learningRate: [1e-4, 6e-4], schedule: { name: 'triangular2', stepSizeUp: 1404 } },
      { train: '*', epochs: 5, learningRate: [1e-5, 6e-5], schedule: { name: 'triangular2', stepSizeUp: 1200 } },
    ]);
  });

  it.each([
    [
      'stages:\n  - optimizer: adamv\n',
      /^plan\.yaml:2:\d+: stages\.0\.optimizer: no optimizer is called "adamv"\. Did you mean "adamw?"/,
    ],
    [
      'stages:\n  - epochs: 1\n  - schedule: cosin\n',
      /^plan\.yaml:3:\d+: .*no schedule is called "cosin"\. Did you mean "cosine"/,
    ],
    [
      'schedule: { name: step, stepSise: 3 }\n',
      /plan\.yaml:1:\d+: schedule.*"stepSise" is no option of step\. Did you mean "stepSize"/,
    ],
    ['optimizer: { name: sgd, momentum: fast }\n', /^plan\.yaml:1:\d+: optimizer\.momentum: .*expected number/],
    ['stages:\n  - epoch: 3\n', /^plan\.yaml:2:\d+: stages\.0\.epoch: .*Did you mean "epochs"/],
    ['warmUp: { step: 3 }\n', /Did you mean "steps"/],
    ['head: none\n', /^plan\.yaml:1:7: head: expected a number of classes, auto or compact/],
    ['learningRate: [1]\n', /^plan\.yaml:1:\d+: learningRate.*/],
  ])('says where a mistake is: %j', (text, message) => {
    expect(() => parse(text)).toThrow(message);
  });
});

describe('scheduleOf', () => {
  const rates = (plan: object, steps: number, count = 6) => {
    const schedule = buildSchedule(finetuneSchema.parse(plan), steps);
    return Array.from({ length: count }, (_, step) => schedule(step));
  };

  it('counts epochs where it is told to', () => {
    const schedule = { name: 'step', stepSize: 1, gamma: 0.5 };
    expect(rates({ learningRate: 1, epochs: 3, schedule, per: 'epoch' }, 2)).toEqual([1, 1, 0.5, 0.5, 0.25, 0.25]);
    expect(rates({ learningRate: 1, epochs: 3, schedule }, 2)).toEqual([1, 0.5, 0.25, 0.125, 0.0625, 0.03125]);
  });

  it('goes as far as the training after a warm-up', () => {
    const found = rates(
      { learningRate: 1, epochs: 1, schedule: 'cosine', warmUp: { steps: 2, startFactor: 0.5 } },
      6,
      7,
    );
    expect(found.map((rate) => Number(rate.toFixed(6)))).toEqual([0.5, 0.75, 1, 0.853553, 0.5, 0.146447, 0]);
  });

  it.each([
    [{ learningRate: [0.1, 0.2], schedule: 'cosine' }, /cosine takes one learning rate/],
    [{ learningRate: 0.1, schedule: 'triangular' }, /triangular takes a base and a peak/],
    [{ learningRate: 0.1, stepSizeUp: 4 }, /constant has no stepSizeUp/],
  ])('refuses %o', (plan, message) => {
    expect(() => rates(plan, 4)).toThrow(UsageError);
    expect(() => rates(plan, 4)).toThrow(message);
  });

  it('knows the steps of an epoch', () => {
    const steps = (batch: number, accumulate: number, images: number) =>
      countStepsPerEpoch(finetuneSchema.parse({ batch, accumulate }), images);
    expect([steps(8, 1, 64), steps(8, 1, 65), steps(8, 2, 65), steps(8, 3, 24)]).toEqual([8, 9, 5, 1]);
  });
});

describe('groupsOf', () => {
  const graph = buildInitialVgg(tinyShape, 7);
  const groups = (plan: object) => buildParameterGroups(finetuneSchema.parse(plan), graph);
  const weight = { name: 'net.classifier.0.weight', dims: [12, 64] };
  const bias = { name: 'net.classifier.0.bias', dims: [12] };

  it('spares what is excepted, and vectors if wished, the bias of a tensor train among them', () => {
    expect(groups({})(weight)).toEqual({ rate: 1 });
    expect(groups({ weightDecay: 0.1 })(bias)).toEqual({ rate: 1, weightDecay: 0.1 });
    const noVectors = groups({ weightDecay: { value: 0.1, vectors: false } });
    expect([weight, bias, { name: 'net.classifier.0.B', dims: [3, 4] }].map((p) => noVectors(p).weightDecay)).toEqual([
      0.1, 0, 0,
    ]);
    const excepted = groups({ weightDecay: { value: 0.1, except: ['classifier.*'] } });
    expect([weight, { name: 'net.features.0.weight', dims: [4, 3, 3, 3] }].map((p) => excepted(p).weightDecay)).toEqual(
      [0, 0.1],
    );
  });

  it('takes the learning rate of the last pattern that fits', () => {
    const found = groups({ rates: { '*': 0.5, 'classifier.*': 2 } });
    expect(found(weight).rate).toBe(2);
    expect(found({ name: 'net.features.0.bias', dims: [4] }).rate).toBe(0.5);
  });

  it('refuses a pattern that fits nothing', () => {
    expect(() => groups({ rates: { 'clasifier.*': 2 } })).toThrow(
      /fits "clasifier\.\*"\. Did you mean "classifier\.\*"/,
    );
    expect(() => groups({ weightDecay: { value: 1, except: ['norm.*'] } })).toThrow(/fits "norm\.\*"/);
  });
});
