"""PyTorch's optimizers, schedules and small trainings: writes training.json beside this file.

    python3 test/golden/train/make.py        # PyTorch 1.13
"""
import json
from pathlib import Path

import torch
from torch import nn

STEPS = 20


def numbers(tensor):
    """Nine digits tell every float32 apart."""
    return [float(f"{value:.9g}") for value in tensor.detach().flatten().tolist()]


def adam_case(**options):
    generator = torch.Generator().manual_seed(1)
    start = torch.randn(6, generator=generator)
    # From tiny to large: epsilon matters at the small end.
    scale = torch.tensor([1e-8, 1e-5, 1e-2, 1.0, 1e2, 0.0])
    gradients = torch.randn(STEPS, 6, generator=generator) * scale
    rates = [1e-3 * (1 + step % 3) for step in range(STEPS)]
    parameter = nn.Parameter(start.clone())
    optimizer = torch.optim.Adam([parameter], lr=rates[0], **options)
    steps = []
    for gradient, rate in zip(gradients, rates):
        optimizer.param_groups[0]["lr"] = rate
        parameter.grad = gradient.clone()
        optimizer.step()
        steps.append(numbers(parameter))
    state = optimizer.state[parameter]
    return {
        "start": numbers(start), "gradients": [numbers(g) for g in gradients], "rates": rates, "steps": steps,
        "m": numbers(state["exp_avg"]), "v": numbers(state["exp_avg_sq"]),
    }


def optimizer_case(create, rate=1e-2):
    """Twenty steps of any optimizer on numbers of all sizes; `create` makes it from parameters and a rate."""
    generator = torch.Generator().manual_seed(2)
    start = torch.randn(6, generator=generator)
    scale = torch.tensor([1e-4, 1e-2, 1.0, 1.0, 3.0, 0.0])
    gradients = torch.randn(STEPS, 6, generator=generator) * scale
    parameter = nn.Parameter(start.clone())
    optimizer = create([parameter], rate)
    steps = []
    for gradient in gradients:
        parameter.grad = gradient.clone()
        optimizer.step()
        steps.append(numbers(parameter))
    return {"start": numbers(start), "gradients": [numbers(g) for g in gradients], "rate": rate, "steps": steps}


def optimizer_cases():
    adamw, sgd = torch.optim.AdamW, torch.optim.SGD
    cases = [
        ("adamw", {}, lambda p, lr: adamw(p, lr)),
        ("adamw", {"weightDecay": 0.5, "beta2": 0.95}, lambda p, lr: adamw(p, lr, weight_decay=0.5, betas=(0.9, 0.95))),
        ("sgd", {}, lambda p, lr: sgd(p, lr)),
        ("sgd", {"weightDecay": 0.1}, lambda p, lr: sgd(p, lr, weight_decay=0.1)),
        ("sgd", {"momentum": 0.9}, lambda p, lr: sgd(p, lr, momentum=0.9)),
        ("sgd", {"momentum": 0.9, "dampening": 0.3, "weightDecay": 0.1},
         lambda p, lr: sgd(p, lr, momentum=0.9, dampening=0.3, weight_decay=0.1)),
        ("sgd", {"momentum": 0.9, "nesterov": True, "weightDecay": 0.1},
         lambda p, lr: sgd(p, lr, momentum=0.9, nesterov=True, weight_decay=0.1)),
    ]
    return [{"name": name, "options": options, **optimizer_case(create)} for name, options, create in cases]


SCHEDULE_STEPS = 30


def rates_of(create, base=0.1, steps=SCHEDULE_STEPS):
    """The learning rates that a scheduler gives, step after step."""
    optimizer = torch.optim.SGD([nn.Parameter(torch.zeros(1))], lr=base)
    schedule = create(optimizer)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(rates) < steps:
            schedule.step()
    return rates


def warmed(after, factor, steps):
    """LinearLR in front of another."""
    lr = torch.optim.lr_scheduler

    def create(optimizer):
        first = lr.LinearLR(optimizer, start_factor=factor, total_iters=steps)
        return lr.SequentialLR(optimizer, [first, after(optimizer)], milestones=[steps])

    return create


def schedule_cases():
    lr = torch.optim.lr_scheduler
    one, two = 0.1, [0.01, 0.3]

    def cycle(**options):
        return lambda o: lr.CyclicLR(o, two[0], two[1], cycle_momentum=False, **options)

    def one_cycle(**options):
        return lambda o: lr.OneCycleLR(o, one, total_steps=SCHEDULE_STEPS, cycle_momentum=False, **options)

    cases = [
        ("constant", {}, one, None, lambda o: lr.ConstantLR(o, factor=1, total_iters=0)),
        ("step", {"stepSize": 7, "gamma": 0.5}, one, None, lambda o: lr.StepLR(o, 7, 0.5)),
        ("step", {"stepSize": 10}, one, None, lambda o: lr.StepLR(o, 10)),
        ("multi-step", {"milestones": [3, 11, 12], "gamma": 0.3}, one, None, lambda o: lr.MultiStepLR(o, [3, 11, 12], 0.3)),
        ("cosine", {"etaMin": 0.002}, one, None, lambda o: lr.CosineAnnealingLR(o, SCHEDULE_STEPS, 0.002)),
        ("cosine", {"steps": 12}, one, None, lambda o: lr.CosineAnnealingLR(o, 12)),
        ("triangular", {"stepSizeUp": 4}, two, None, cycle(step_size_up=4, mode="triangular")),
        ("triangular2", {"stepSizeUp": 4, "stepSizeDown": 7}, two, None,
         cycle(step_size_up=4, step_size_down=7, mode="triangular2")),
        ("exp_range", {"stepSizeUp": 6, "gamma": 0.97}, two, None, cycle(step_size_up=6, mode="exp_range", gamma=0.97)),
        ("one-cycle", {"pctStart": 0.4, "divFactor": 10, "finalDivFactor": 100}, one, None,
         one_cycle(pct_start=0.4, div_factor=10, final_div_factor=100)),
        ("one-cycle", {"annealStrategy": "linear"}, one, None, one_cycle(anneal_strategy="linear")),
        ("step", {"stepSize": 7, "gamma": 0.5}, one, {"steps": 5, "startFactor": 0.2},
         warmed(lambda o: lr.StepLR(o, 7, 0.5), 0.2, 5)),
        ("cosine", {"etaMin": 0.01, "steps": 20}, one, {"steps": 8, "startFactor": 1e-3},
         warmed(lambda o: lr.CosineAnnealingLR(o, 20, 0.01), 1e-3, 8)),
    ]
    return [
        {"name": name, "options": options, "learningRate": rate, "warmUp": warm, "rates": rates_of(create)}
        for name, options, rate, warm, create in cases
    ]


def clipping_case(clip):
    """Gradients of two parameters, before and after."""
    generator = torch.Generator().manual_seed(5)
    parameters = [nn.Parameter(torch.zeros(5)), nn.Parameter(torch.zeros(3))]
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator) * 2
    before = [numbers(parameter.grad) for parameter in parameters]
    clip(parameters)
    return {"before": before, "after": [numbers(parameter.grad) for parameter in parameters]}


def smoothing_case():
    generator = torch.Generator().manual_seed(6)
    scores = torch.randn(4, 5, generator=generator, requires_grad=True)
    labels = torch.tensor([3, 0, 4, 4])
    loss = nn.functional.cross_entropy(scores, labels, label_smoothing=0.1)
    loss.backward()
    return {"smoothing": 0.1, "scores": numbers(scores), "labels": labels.tolist(), "loss": float(loss.detach()),
            "gradient": numbers(scores.grad)}


def averaging_case(warm_up, decay=0.9):
    """AveragedModel with the usual averaging function; with the warm-up of timm's ModelEmaV3 (power 2/3, gamma 1)."""
    generator = torch.Generator().manual_seed(7)
    model = nn.Linear(4, 1, bias=False)
    with torch.no_grad():
        model.weight.copy_(torch.randn(1, 4, generator=generator))
    start = numbers(model.weight)
    rate = {"now": decay}
    averaged = torch.optim.swa_utils.AveragedModel(
        model, avg_fn=lambda average, value, _: rate["now"] * average + (1 - rate["now"]) * value)
    # The first call of AveragedModel copies; the average starts at the first weights.
    averaged.update_parameters(model)
    weights, averages = [], []
    for step in range(STEPS):
        with torch.no_grad():
            model.weight.add_(torch.randn(1, 4, generator=generator) * 0.1)
        rate["now"] = min(decay, 1 - (1 + step) ** (-2 / 3)) if warm_up else decay
        averaged.update_parameters(model)
        weights.append(numbers(model.weight))
        averages.append(numbers(averaged.module.weight))
    return {"decay": decay, "warmUp": warm_up, "start": start, "weights": weights, "averages": averages}


def regularised_training():
    """AdamW with decay for the matrix alone, label smoothing and clipping, through torch's own training loop."""
    torch.manual_seed(8)
    model = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
    images, labels = torch.randn(8, 4), torch.randint(0, 3, (8,))
    start = state_of(model)
    matrices = [p for p in model.parameters() if p.dim() > 1]
    vectors = [p for p in model.parameters() if p.dim() == 1]
    optimizer = torch.optim.AdamW(
        [{"params": matrices, "weight_decay": 0.3}, {"params": vectors, "weight_decay": 0.0, "lr": 5e-3}], lr=1e-2)
    losses = []
    for _ in range(STEPS):
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(model(images), labels, label_smoothing=0.2)
        loss.backward()
        nn.utils.clip_grad_norm_(model.parameters(), 0.1)
        optimizer.step()
        losses.append(float(loss.detach()))
    return {"images": numbers(images), "labels": labels.tolist(), "start": start, "end": state_of(model), "losses": losses}


class Masked(nn.Module):
    """Dropout with a mask that is given."""

    def __init__(self):
        super().__init__()
        self.mask = None

    def forward(self, x):
        return x if self.mask is None else x * self.mask


def train(model, images, labels, masks=None, up=6, base=1e-3, peak=1e-2):
    optimizer = torch.optim.Adam(model.parameters(), lr=base)
    schedule = torch.optim.lr_scheduler.CyclicLR(optimizer, base, peak, up, mode="triangular2", cycle_momentum=False)
    losses = []
    model.train()
    for step in range(STEPS):
        for module in model.modules():
            if isinstance(module, Masked) and masks is not None:
                module.mask = masks[step]
        optimizer.zero_grad()
        loss = nn.functional.nll_loss(model(images), labels)
        loss.backward()
        for parameter in model.parameters():
            # A gradient that is rounding noise around 0 would be blown up to a whole step by Adam, and tell nothing.
            assert not ((parameter.grad.abs() > 0) & (parameter.grad.abs() < 1e-6)).any(), "choose another seed"
        optimizer.step()
        schedule.step()
        losses.append(float(loss.detach()))
    return losses


def state_of(model):
    return {
        name: {"dims": list(value.shape), "data": numbers(value)}
        for name, value in model.state_dict().items()
        if value.dtype == torch.float32
    }


def training_case(model, images, labels, masks=None):
    start = state_of(model)
    losses = train(model, images, labels, masks)
    end = state_of(model)
    model.eval()
    for module in model.modules():
        if isinstance(module, Masked):
            module.mask = None
    return {
        "images": {"dims": list(images.shape), "data": numbers(images)},
        "labels": labels.tolist(),
        "masks": [] if masks is None else [numbers(mask) for mask in masks],
        "start": start, "end": end, "losses": losses,
        "outputs": numbers(model(images)),
    }


def head():
    torch.manual_seed(4)
    model = nn.Sequential(
        nn.Linear(6, 8), nn.ReLU(), nn.BatchNorm1d(8), Masked(), nn.Linear(8, 5), nn.LogSoftmax(1)
    )
    # Statistics as a trained model has them, not those of a new one.
    model[2].running_mean.uniform_(-1, 1)
    model[2].running_var.uniform_(0.5, 2)
    masks = (torch.rand(STEPS, 12, 8) >= 0.25).float() / 0.75
    return training_case(model, torch.randn(12, 6), torch.randint(0, 5, (12,)), masks)


def convolutional():
    torch.manual_seed(3)
    model = nn.Sequential(
        # No bias: before a batch norm its gradient is rounding noise, which Adam blows up to a whole step.
        nn.Conv2d(2, 4, 3, padding=1, bias=False), nn.BatchNorm2d(4, momentum=0.3), nn.ReLU(), nn.MaxPool2d(2),
        nn.Flatten(), nn.Linear(16, 3), nn.LogSoftmax(1),
    )
    return training_case(model, torch.randn(6, 2, 4, 4), torch.randint(0, 3, (6,)))


golden = {
    "torch": torch.__version__,
    "adam": [
        {"options": {}, **adam_case()},
        {"options": {"weightDecay": 0.01}, **adam_case(weight_decay=0.01)},
        {"options": {"beta1": 0.8, "beta2": 0.95, "epsilon": 1e-3}, **adam_case(betas=(0.8, 0.95), eps=1e-3)},
    ],
    "optimizers": optimizer_cases(),
    "schedules": schedule_cases(),
    "clipping": {
        "norm": {"limit": 1.5, **clipping_case(lambda p: nn.utils.clip_grad_norm_(p, 1.5))},
        "within": {"limit": 100, **clipping_case(lambda p: nn.utils.clip_grad_norm_(p, 100))},
        "value": {"limit": 0.8, **clipping_case(lambda p: nn.utils.clip_grad_value_(p, 0.8))},
    },
    "smoothing": smoothing_case(),
    "averaging": [averaging_case(False), averaging_case(True)],
    "regularised": regularised_training(),
    "head": head(),
    "convolutional": convolutional(),
}
Path(__file__).with_name("training.json").write_text(json.dumps(golden) + "\n")
