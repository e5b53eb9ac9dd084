"""Writes the checkpoints next to it, and expected.json with what PyTorch finds in them.

Run with PyTorch 1.13: /usr/bin/python3 test/golden/checkpoints/make.py
"""
import argparse
import collections
import datetime
import enum
import functools
import json
import pathlib

import numpy
import torch
from torch import nn
from torch.nn.utils import parametrize, prune
from torch.nn.utils.parametrizations import spectral_norm

here = pathlib.Path(__file__).parent
torch.manual_seed(11)
expected = {}


def described(tensors):
    return {key: {"dims": list(value.shape), "values": value.detach().reshape(-1).tolist()} for key, value in tensors.items()}


def save(name, content, tensors, **options):
    torch.save(content, here / name, **options)
    expected[name] = described(tensors)


layers = {"conv": nn.Conv2d(1, 2, 2), "norm": nn.BatchNorm2d(2), "fc": nn.Linear(2, 2)}
network = nn.Sequential(collections.OrderedDict(layers))
weights = collections.OrderedDict((key, value.clone()) for key, value in network.state_dict().items())
averaged = collections.OrderedDict((key, value / 2 if value.is_floating_point() else value) for key, value in weights.items())


class Mode(enum.Enum):
    FAST = 1


class Config:
    def __init__(self):
        self.sizes = {"a": [1, 2]}
        self.buffer = torch.ones(2, 2)


class Weights(collections.OrderedDict):
    pass


class Tagged(torch.Tensor):
    pass


# Everything that training scripts were seen to store alongside the weights.
things = {
    "model": weights,
    "args": argparse.Namespace(lr=0.1, path=pathlib.PurePosixPath("/data"), when=datetime.datetime(2020, 1, 2)),
    "mode": Mode.FAST,
    "config": Config(),
    "default": collections.defaultdict(list, a=[1]),
    "count": collections.Counter("aab"),
    "partial": functools.partial(max, 1),
    "device": torch.device("cuda:0"),
    "dtype": torch.bfloat16,
    "function": torch.nn.functional.relu,
    "class": Config,
    "sets": [{1, 2}, frozenset([3]), slice(1, 2), range(3), 1j, b"\x00\xff", bytearray(b"ab"), 2**100, -7, float("inf")],
    "history": numpy.arange(3),
    "objects": numpy.array([None, "a"], dtype=object),
    "scalar": numpy.float32(0.5),
    "random": numpy.random.RandomState(1),
    "generator": torch.get_rng_state()[:16],
    "sparse": torch.eye(2).to_sparse(),
    "quantised": torch.quantize_per_tensor(torch.ones(2, 2), 0.1, 0, torch.qint8),
}
save("objects.pt", things, weights)
save("objects-protocol0.pt", things, weights, pickle_protocol=0)
save("objects-protocol1.pt", things, weights, pickle_protocol=1)
save("objects-protocol4.pt", things, weights, pickle_protocol=4)
save("objects-protocol5.pt", things, weights, pickle_protocol=5)
save("objects-legacy.pt", things, weights, _use_new_zipfile_serialization=False)

# PyTorch 1.13 writes protocol 0, and cannot read it.
plain = collections.OrderedDict(list(weights.items())[:2])
save("protocol0-legacy.pt", plain, plain, pickle_protocol=0, _use_new_zipfile_serialization=False)
save("protocol1-legacy.pt", plain, plain, pickle_protocol=1, _use_new_zipfile_serialization=False)

save("subclasses.pt", Weights(
    tagged=torch.tensor([[1.0, 2.0]]).as_subclass(Tagged),
    parameter=nn.Parameter(torch.tensor([3.0])),
), {"tagged": torch.tensor([[1.0, 2.0]]), "parameter": torch.tensor([3.0])})

matrix = numpy.arange(6, dtype=numpy.float32).reshape(2, 3)
arrays = {"c.weight": matrix, "fortran.weight": numpy.asfortranarray(matrix), "double.bias": numpy.array([0.1, 1e300]),
          "half.bias": numpy.array([0.5], dtype=numpy.float16), "count": numpy.array(7)}
save("arrays.pt", arrays, {key: torch.from_numpy(numpy.array(value, order="C")) for key, value in arrays.items()})
save("arrays-protocol5.pt", arrays, {key: torch.from_numpy(numpy.array(value, order="C")) for key, value in arrays.items()},
     pickle_protocol=5)

tied = nn.Sequential(network, nn.Identity())
tied.register_buffer("kept", torch.ones(2))
tied.register_buffer("passing", torch.ones(3), persistent=False)
save("module.pt", {"epoch": 3, "net": nn.DataParallel(tied), "ema": tied}, tied.state_dict())

# Several sets of weights, and the keys that choose them.
optimizer = torch.optim.Adam(network.parameters())
sum(parameter.sum() for parameter in network.parameters()).backward()
optimizer.step()
save("sets.pt", {
    "epoch": 3, "best": torch.tensor(0.5), "ema": averaged, "my_net": weights, "optimizer": optimizer.state_dict(),
    "old": {"net": averaged}, "rng": torch.get_rng_state()[:16],
}, weights)
save("prefixes.pt", {
    "state_dict": {f"{prefix}.{key}": value for prefix, tensors in (("model", weights), ("model_ema.module", averaged))
                   for key, value in tensors.items()},
    "hyper_parameters": {"class_weights": torch.ones(2)},
    "callbacks": {"EarlyStopping": {"best_score": torch.tensor(1.0)}},
}, weights)
expected["averaged"] = described(averaged)

nested = {}
for key, value in weights.items():
    layer, name = key.split(".")
    nested.setdefault(layer, {})[name] = value
save("nested.pt", nested, weights)


# Weights that are stored as what they are computed from, and what PyTorch computes in eval().
class WeightNorm(nn.Module):
    """The parametrization that PyTorch 2 stores as original0 and original1."""

    def __init__(self, dim):
        super().__init__()
        self.dim = dim

    def forward(self, g, v):
        return torch._weight_norm(v, g, self.dim)

    def right_inverse(self, weight):
        return torch.norm_except_dim(weight, 2, self.dim), weight


forms = nn.ModuleDict({
    "old": nn.utils.weight_norm(nn.Linear(3, 2)),
    "conv": nn.utils.weight_norm(nn.Conv2d(2, 3, (2, 1)), dim=1),
    "whole": nn.utils.weight_norm(nn.Linear(3, 2), dim=None),
    "lstm": nn.utils.weight_norm(nn.LSTM(2, 1), "weight_hh_l0"),
    "new": nn.Conv2d(2, 3, 1),
    "spectral": nn.utils.spectral_norm(nn.Linear(3, 2)),
    "transposed": nn.utils.spectral_norm(nn.ConvTranspose2d(3, 2, 2)),
    "spectral2": spectral_norm(nn.Conv2d(2, 3, 2)),
    "pruned": prune.random_unstructured(nn.Linear(3, 2), "weight", 0.5),
    "plain": nn.Linear(3, 2),
})
parametrize.register_parametrization(forms["new"], "weight", WeightNorm(0))
for name in ("old", "conv", "whole"):
    forms[name].weight_g.data *= 1.5
forms["lstm"].weight_hh_l0_g.data *= 1.5
forms["new"].parametrizations.weight.original0.data *= 1.5
# A step of the power iteration, so that u and v are not those of the beginning.
forms["spectral"](torch.randn(2, 3)), forms["transposed"](torch.randn(1, 3, 4, 4)), forms["spectral2"](torch.randn(1, 2, 4, 4))
state = {key: value.clone() for key, value in forms.state_dict().items()}
forms.eval()
with torch.no_grad():
    forms["old"](torch.randn(1, 3)), forms["conv"](torch.randn(1, 2, 4, 4)), forms["whole"](torch.randn(1, 3))
    forms["lstm"](torch.randn(1, 1, 2)), forms["spectral"](torch.randn(1, 3)), forms["transposed"](torch.randn(1, 3, 4, 4))
    computed = {f"{name}.weight": module.weight for name, module in forms.items() if name != "lstm"}
    computed["lstm.weight_hh_l0"] = forms["lstm"].weight_hh_l0
save("forms.pt", state, computed)
orthogonal = nn.utils.parametrizations.orthogonal(nn.Linear(2, 2))
save("orthogonal.pt", nn.ModuleDict({"fc": orthogonal}).state_dict(), {})

(here / "expected.json").write_text(json.dumps(expected))
print({path.name: path.stat().st_size for path in sorted(here.glob("*"))})
