"""Makes tiny.onnx and tiny.json with PyTorch 1.13: a file of another writer, and what it computes.

Run in this folder: python3 make.py
"""
import json

import torch
from torch import nn

torch.manual_seed(0)
model = nn.Sequential(
    nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(12, 4)
)
with torch.no_grad():
    model[1].running_mean.uniform_(-1, 1)
    model[1].running_var.uniform_(0.5, 2)
model.eval()
x = torch.randn(2, 2, 4, 4)
torch.onnx.export(
    model,
    x,
    "tiny.onnx",
    opset_version=15,
    input_names=["input"],
    output_names=["scores"],
    dynamic_axes={"input": {0: "N"}, "scores": {0: "N"}},
    do_constant_folding=False,
    training=torch.onnx.TrainingMode.PRESERVE,
)
with torch.no_grad():
    y = model(x)
with open("tiny.json", "w") as file:
    json.dump(
        {
            "input": x.flatten().tolist(),
            "scores": y.flatten().tolist(),
            "parameters": {name: [list(t.shape), t.double().sum().item()] for name, t in model.state_dict().items()},
        },
        file,
    )
