"""The loss of a student against its teacher and its gradients, by PyTorch's autograd: writes distillation.json beside
this file. Maps are differentiated twice (`create_graph`).

    python3 test/golden/train/make_distillation.py        # PyTorch 1.13
"""
import json
from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

LABELS, FEATURES, MAPS = 0.3, 0.7, 0.9
LEAST_VARIANCE = 1e-6


def numbers(tensor):
    return {"dims": list(tensor.shape), "data": [float(f"{value:.9g}") for value in tensor.detach().flatten().tolist()]}


class Net(nn.Module):
    """conv, ReLU (the layer), max pooling, two linear layers."""

    def __init__(self):
        super().__init__()
        self.conv, self.hidden, self.out = nn.Conv2d(2, 4, 3, padding=1), nn.Linear(4 * 2 * 2, 6), nn.Linear(6, 3)

    def forward(self, x):
        a = torch.relu(self.conv(x))
        return a, self.out(torch.relu(self.hidden(F.max_pool2d(a, 2).flatten(1))))


def raw_maps(scores, picked, a):
    gradient, = torch.autograd.grad((scores * picked).sum(), a, create_graph=True)
    return torch.relu((gradient.mean((2, 3), keepdim=True) * a).sum(1))


def standardized(maps):
    rows = maps.flatten(1)
    rows = rows / (rows.abs().amax(1, keepdim=True) + 1e-12)
    rows = rows - rows.mean(1, keepdim=True)
    return rows / (rows.square().sum(1, keepdim=True) + LEAST_VARIANCE).sqrt()


torch.manual_seed(3)
teacher, student = Net().double(), Net().double()
images = torch.randn(5, 2, 4, 4, dtype=torch.float64)
labels = torch.tensor([0, 2, 1, 1, 0])
a_teacher, s_teacher = teacher(images)
picked = F.one_hot(s_teacher.argmax(1), 3).double()
targets = LABELS * F.one_hot(labels, 3) + (1 - LABELS) * s_teacher.softmax(1)
a, s = student(images)
from_targets = -(targets.detach() * s.log_softmax(1)).sum() / 5
from_features = (a - a_teacher.detach()).square().sum() / a_teacher.detach().square().sum()
wanted = standardized(raw_maps(s_teacher, picked, a_teacher)).detach()
from_maps = 1 - (standardized(raw_maps(s, picked, a)) * wanted).sum() / 5
loss = from_targets + FEATURES * from_features + MAPS * from_maps
loss.backward()
golden = {
    "labels": LABELS, "features": FEATURES, "maps": MAPS,
    "images": numbers(images), "classes": labels.tolist(), "loss": loss.item(),
    "terms": [from_targets.item(), from_features.item(), from_maps.item()],
    "teacher": {name: numbers(p) for name, p in teacher.named_parameters()},
    "student": {name: numbers(p) for name, p in student.named_parameters()},
    "gradients": {name: numbers(p.grad) for name, p in student.named_parameters()},
}
Path(__file__).with_name("distillation.json").write_text(json.dumps(golden) + "\n")
