"""Writes the PyTorch files beside it, and expected.json with what PyTorch finds in them.

Run with PyTorch 1.13: /usr/bin/python3 test/golden/torch/make.py
"""
import argparse
import collections
import json
import os
import pickle
import zipfile
from pathlib import Path

import numpy
import torch
from torch import nn

here = Path(__file__).parent
torch.manual_seed(7)
expected = {}


def described(tensor):
    """Element type, dimensions and elements; halves as raw bits, everything else as text that loses nothing."""
    flat = tensor.detach().contiguous().reshape(-1)
    if tensor.dtype in (torch.float16, torch.bfloat16):
        flat = flat.view(torch.int16).to(torch.int32) & 0xFFFF
    values = [repr(value) for value in flat.tolist()]
    return {"dtype": str(tensor.dtype).removeprefix("torch."), "dims": list(tensor.shape), "values": values}


def save(name, content, tensors, **options):
    torch.save(content, here / name, **options)
    expected[name] = {key: described(tensor) for key, tensor in tensors.items()}


def both(name, tensors):
    save(f"{name}.pt", tensors, tensors)
    save(f"{name}-legacy.pt", tensors, tensors, _use_new_zipfile_serialization=False)


# Every element type that tensors can have here, with values that only fit there.
both("dtypes", collections.OrderedDict(
    float32=torch.tensor([[1.5, -0.0, 1e-45], [float("inf"), 3.4e38, 0.1]]),
    float64=torch.tensor([0.1, 1e300], dtype=torch.float64),
    float16=torch.tensor([0.1, -65504.0, 6e-8], dtype=torch.float16),
    bfloat16=torch.tensor([0.1, -3e38, 1e-40], dtype=torch.bfloat16),
    int8=torch.tensor([-128, 127], dtype=torch.int8),
    uint8=torch.tensor([0, 255], dtype=torch.uint8),
    int16=torch.tensor([-32768, 32767], dtype=torch.int16),
    int32=torch.tensor([-(2**31), 2**31 - 1], dtype=torch.int32),
    int64=torch.tensor([-(2**63), 2**63 - 1], dtype=torch.int64),
    bool=torch.tensor([True, False, True]),
    scalar=torch.tensor(7, dtype=torch.int64),
    empty=torch.zeros(2, 0, 3),
))

# Views: PyTorch stores the storage once, and offset and strides of each.
base = torch.arange(24, dtype=torch.float32)
wide = torch.arange(12, dtype=torch.float64).reshape(3, 4)
both("views", collections.OrderedDict(
    whole=base,
    tied=base.view(4, 6),
    tail=base[20:],
    transposed=base.view(4, 6).t(),
    permuted=base.view(2, 3, 4).permute(2, 0, 1),
    strided=base[3:20:4],
    column=base.view(4, 6)[:, 2],
    block=base.view(4, 6)[1:3, 2:5],
    expanded=base[5].expand(3, 2),
    doubles=wide.t(),
    bytes=torch.arange(6, dtype=torch.uint8).view(2, 3).t(),
    halves=torch.arange(6, dtype=torch.float16).view(2, 3).t(),
))

model = nn.Sequential(nn.Linear(3, 2), nn.BatchNorm1d(2))
optimizer = torch.optim.Adam(model.parameters())
model(torch.randn(4, 3)).sum().backward()
optimizer.step()
schedule = torch.optim.lr_scheduler.MultiStepLR(optimizer, [3, 5])
weights = model.state_dict()
save("checkpoint.pt", {
    "epoch": 3,
    "state_dict": collections.OrderedDict((f"module.{key}", value) for key, value in weights.items()),
    "optimizer": optimizer.state_dict(),
    "schedule": schedule.state_dict(),
    "args": argparse.Namespace(lr=0.1, device=torch.device("cpu"), names={"a", "b"}, raw=b"\x00\xff"),
    "best": numpy.float64(0.5),
    "size": torch.Size([1, 2]),
}, weights)
save("nested.pt", {"model": {"net": {"weight": weights["0.weight"], "note": "text"}}}, {"weight": weights["0.weight"]})
save("protocol4.pt", weights, weights, pickle_protocol=4)
save("parameter.pt", {"weight": model[0].weight}, {"weight": model[0].weight})

# Files that are to be refused.
torch.save(model, here / "whole-model.pt")
torch.save(model, here / "whole-model-legacy.pt", _use_new_zipfile_serialization=False)
torch.jit.script(model).save(str(here / "torchscript.pt"))
torch.save(torch.ones(2), here / "single-tensor.pt")
torch.save({"epoch": 3, "loss": [0.1]}, here / "no-tensors.pt")
torch.save({"weight": torch.ones(2, dtype=torch.complex64)}, here / "complex.pt")
torch.save({"weight": torch.eye(2).to_sparse()}, here / "sparse.pt")
(here / "plain-pickle.pt").write_bytes(pickle.dumps({"weight": [1.0]}, protocol=2))


class Call:
    def __init__(self, function, *args):
        self.function, self.args = function, args

    def __reduce__(self):
        return self.function, self.args


for name, call in {"system": Call(os.system, "echo pwned"), "eval": Call(eval, "1 + 1")}.items():
    torch.save({"weight": call}, here / f"hostile-{name}.pt")
    torch.save({"weight": call}, here / f"hostile-{name}-legacy.pt", _use_new_zipfile_serialization=False)

# Half precision: random bit patterns, and the neighbourhood of every place where rounding changes its way.
edges = [0.0, 2.0**-25, 3 * 2.0**-25, 2.0**-24, 2.0**-14, 1 + 2.0**-11, 1 + 3 * 2.0**-11, 1 + 2.0**-8, 1 + 3 * 2.0**-8,
         65504.0, 65519.996, 65520.0, 3.3895e38, 3.4028235e38, 1e-45, 1e-40, float("inf")]
values = torch.tensor(edges, dtype=torch.float32)
near = torch.cat([values, torch.nextafter(values, values * 0), torch.nextafter(values, values * 0 + float("inf"))])
bits = torch.randint(-(2**31), 2**31 - 1, (200,)).to(torch.int32)
scaled = torch.randn(200) * 10.0 ** torch.randint(-8, 6, (200,))
floats = torch.cat([near, -near, bits.view(torch.float32), scaled])
floats = floats[~floats.isnan()]
expected["halves"] = {
    "float32Bits": floats.view(torch.int32).tolist(),
    "float16": (floats.half().view(torch.int16).to(torch.int32) & 0xFFFF).tolist(),
    "bfloat16": (floats.bfloat16().view(torch.int16).to(torch.int32) & 0xFFFF).tolist(),
}
(here / "expected.json").write_text(json.dumps(expected))
print({path.name: path.stat().st_size for path in sorted(here.glob("*"))})
assert zipfile.ZipFile(here / "views.pt").testzip() is None
