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


def one_cycle_case(peak, steps):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, peak, total_steps=steps, cycle_momentum=False)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        if len(rates) < steps:
            schedule.step()
    return {"max": peak, "steps": steps, "rates": rates}


def cyclic_case(base, peak, up, mode, steps):
    optimizer = torch.optim.Adam([nn.Parameter(torch.zeros(1))], lr=base)
    schedule = torch.optim.lr_scheduler.CyclicLR(optimizer, base, peak, up, mode=mode, cycle_momentum=False)
    rates = []
    for _ in range(steps):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    return {"base": base, "max": peak, "stepSizeUp": up, "mode": mode, "rates": rates}


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
    "oneCycle": [one_cycle_case(4e-3, 40), one_cycle_case(1e-2, 33)],
    "cyclic": [
        cyclic_case(1e-4, 6e-4, 5, "triangular", 25),
        cyclic_case(1e-4, 6e-4, 5, "triangular2", 45),
        cyclic_case(1e-5, 6e-5, 7, "triangular2", 45),
    ],
    "head": head(),
    "convolutional": convolutional(),
}
Path(__file__).with_name("training.json").write_text(json.dumps(golden) + "\n")
