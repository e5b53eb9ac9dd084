"""Gradients by PyTorch's autograd in float64, for test/autodiff/golden.test.ts.

Run with PyTorch 1.13: python3 make.py. Writes nodes.json (one operator each) and network.json (a small network).
For every case L = sum(u * y) with the given u; inputs are float32 numbers of few digits.
"""
import json
import os

import torch
import torch.nn.functional as F

torch.manual_seed(0)
torch.set_default_dtype(torch.float64)
here = os.path.dirname(os.path.abspath(__file__))


def numbers(*dims, scale=1.0):
    """Random numbers of three digits, exact enough in float32."""
    return (torch.randn(*dims) * scale * 256).round() / 256


def ties(*dims):
    """Few different values: most windows have several maxima."""
    return torch.randint(0, 3, dims).double()


def plain(tensor):
    return {"dims": list(tensor.shape), "data": [float("%.8g" % x) for x in tensor.detach().flatten().tolist()]}


cases = []


def case(name, op, inputs, function, attributes=None, constants=None, outputs=1):
    """`function` maps the inputs to the output; `constants` are further ONNX inputs: int64 lists or floats."""
    inputs = [x.clone().requires_grad_() for x in inputs]
    y = function(*inputs)
    u = numbers(*y.shape)
    (y * u).sum().backward()
    cases.append({
        "name": name,
        "op": op,
        "attributes": attributes or {},
        "inputs": [plain(x) for x in inputs],
        "constants": constants or [],
        "outputs": outputs,
        "u": plain(u),
        "gradients": [plain(x.grad) for x in inputs],
    })


def conv(name, x, w, stride=1, padding=0, dilation=1, groups=1, bias=True, function=F.conv2d):
    rank = len(x) - 2
    several = lambda value: [value] * rank if isinstance(value, int) else list(value)
    inputs = [numbers(*x), numbers(*w, scale=0.5)] + ([numbers(w[0])] if bias else [])
    case(
        name, "Conv", inputs,
        lambda x, w, b=None: function(x, w, b, stride, padding, dilation, groups),
        {"strides": several(stride), "pads": several(padding) * 2, "dilations": several(dilation), "group": groups},
    )


conv("3x3, padded", (2, 5, 5, 4), (3, 5, 3, 3), padding=1)
conv("few channels", (2, 3, 6, 5), (4, 3, 3, 3), padding=1)
conv("strides that leave rows over", (2, 5, 6, 7), (3, 5, 3, 2), stride=(2, 3), padding=(1, 0))
conv("dilated", (1, 5, 7, 8), (2, 5, 3, 2), dilation=(2, 3), padding=2)
conv("groups", (2, 6, 5, 5), (4, 3, 3, 3), groups=2, padding=1, stride=2)
conv("depthwise", (2, 4, 5, 5), (4, 1, 3, 3), groups=4, padding=1, bias=False)
conv("1x1, strided", (2, 5, 5, 5), (3, 5, 1, 1), stride=2)
conv("1-D", (2, 5, 9), (3, 5, 3), stride=2, padding=1, function=F.conv1d)

case(
    "output padding and groups", "ConvTranspose", [numbers(1, 4, 3, 3), numbers(4, 2, 3, 3), numbers(4)],
    lambda x, w, b: F.conv_transpose2d(x, w, b, 2, 1, 1, 2),
    {"strides": [2, 2], "pads": [1, 1, 1, 1], "output_padding": [1, 1], "group": 2},
)


def max_pool(name, x, kernel, stride, padding=0, dilation=1, ceil=False):
    case(
        name, "MaxPool", [x],
        lambda x: F.max_pool2d(x, kernel, stride, padding, dilation, ceil),
        {"kernel_shape": [kernel] * 2, "strides": [stride] * 2, "pads": [padding] * 4, "dilations": [dilation] * 2,
         "ceil_mode": int(ceil)},
    )


max_pool("2x2, ties", ties(2, 2, 6, 4), 2, 2)
max_pool("2x2, ties, rows left over", ties(1, 2, 5, 5), 2, 2)
max_pool("overlapping, padded, ties", ties(2, 2, 6, 5), 3, 2, 1)
max_pool("stride 1, ties", ties(1, 2, 4, 4), 2, 1)
max_pool("dilated, ties", ties(1, 2, 6, 6), 2, 2, 0, 2)
max_pool("ceil mode, ties", ties(1, 2, 6, 6), 3, 2, 0, 1, True)

for ceil in (False, True):
    for include in (False, True):
        case(
            f"ceil {ceil}, padding counted {include}", "AveragePool", [numbers(1, 2, 6, 5)],
            lambda x: F.avg_pool2d(x, 3, 2, 1, ceil, include),
            {"kernel_shape": [3, 3], "strides": [2, 2], "pads": [1, 1, 1, 1], "ceil_mode": int(ceil),
             "count_include_pad": int(include)},
        )
case("mean", "GlobalAveragePool", [numbers(2, 2, 3, 2)], lambda x: F.adaptive_avg_pool2d(x, 1))
case("ties", "GlobalMaxPool", [ties(2, 3, 3, 3)], lambda x: F.adaptive_max_pool2d(x, 1))

case(
    "inference", "BatchNormalization",
    [numbers(2, 3, 2, 2), numbers(3), numbers(3), numbers(3), numbers(3).abs() + 0.5],
    lambda x, w, b, m, v: (x - m[:, None, None]) / torch.sqrt(v[:, None, None] + 1e-5) * w[:, None, None]
    + b[:, None, None],
)
case(
    "training", "BatchNormalization", [numbers(3, 2, 2, 3), numbers(2), numbers(2)],
    lambda x, w, b: F.batch_norm(x, None, None, w, b, True), {"training_mode": 1},
    [{"float": [0, 0]}, {"float": [1, 1]}], outputs=3,
)
case(
    "training, [N, C]", "BatchNormalization", [numbers(6, 3), numbers(3), numbers(3)],
    lambda x, w, b: F.batch_norm(x, None, None, w, b, True), {"training_mode": 1},
    [{"float": [0, 0, 0]}, {"float": [1, 1, 1]}], outputs=3,
)

case("last axis", "Softmax", [numbers(3, 5, scale=3)], lambda x: F.softmax(x, -1))
case("last axis", "LogSoftmax", [numbers(3, 5, scale=30)], lambda x: F.log_softmax(x, -1))
case("channels", "LogSoftmax", [numbers(2, 3, 2)], lambda x: F.log_softmax(x, 1), {"axis": 1})

# At the kinks.
steps = torch.tensor([-2.0, -1.0, 0.0, 0.0, 1.0, 2.0])
case("at 0", "Relu", [steps], F.relu)
case("at 0", "LeakyRelu", [steps], lambda x: F.leaky_relu(x, 0.25), {"alpha": 0.25})
case("at 0", "Abs", [steps], torch.abs)
case("at both bounds", "Clip", [steps], lambda x: x.clamp(-1, 1), {}, [{"scalar": -1}, {"scalar": 1}])
case("ties", "Max", [ties(8), ties(8)], torch.maximum)
case("ties", "Min", [ties(8), ties(8)], torch.minimum)
case("ties", "ReduceMax", [ties(3, 4, 2)], lambda x: x.amax((0, 1), True), {}, [{"ints": [0, 1]}])
case("ties", "ReduceMin", [ties(3, 4)], lambda x: x.amin(1, True), {}, [{"ints": [1]}])
case("zeros", "ReduceProd", [torch.tensor([[1.0, 2, 3], [4, 0, 5], [0, 6, 0]])], lambda x: x.prod(1, True), {},
     [{"ints": [1]}])
case("zeros", "ReduceL2", [torch.tensor([[3.0, 4], [0, 0]])], lambda x: x.norm(dim=1, keepdim=True), {},
     [{"ints": [1]}])
case("at 0", "ReduceL1", [steps], lambda x: x.norm(1, 0, True), {}, [{"ints": [0]}])
case("base 0", "Pow", [torch.tensor([0.0, 0.0, 0.0, 1.5]), torch.tensor([0.0, 1.0, 2.0, 0.0])], torch.pow)
case("random", "Erf", [numbers(6)], torch.erf)

# Activations, at their kinks and between them.
wide = torch.tensor([-4.0, -3.0, -2.0, -1.0, -0.5, 0.0, 0.5, 1.0, 2.0, 3.0, 4.0])
case("at 0", "PRelu", [wide, torch.tensor([0.25])], F.prelu)
case("a slope for each channel", "PRelu", [numbers(2, 3, 2, 2), numbers(3, 1, 1)],
     lambda x, slope: F.prelu(x, slope.flatten()))
case("at its threshold", "ThresholdedRelu", [wide], lambda x: F.threshold(x, 1, 0), {"alpha": 1})
case("at 0", "Elu", [wide], lambda x: F.elu(x, 0.75), {"alpha": 0.75})
case("at 0", "Selu", [wide], F.selu)
case("at 0", "Celu", [wide], lambda x: F.celu(x, 0.75), {"alpha": 0.75})
case("at both ends", "HardSigmoid", [wide], F.hardsigmoid, {"alpha": 1 / 6})
case("at both ends", "HardSwish", [wide], F.hardswish)
case("at 0", "Softsign", [wide], F.softsign)
case("from -4 to 4", "Softplus", [wide], F.softplus)
case("from -4 to 4", "Mish", [wide], F.mish)
case("from -4 to 4, SiLU", "Swish", [wide], F.silu)
case("from -4 to 4", "Gelu", [wide], F.gelu)
case("from -4 to 4, tanh", "Gelu", [wide], lambda x: F.gelu(x, approximate="tanh"), {"approximate": "tanh"})

# Normalisations; GroupNormalization's scale is that of the channels.
case("last axis", "LayerNormalization", [numbers(2, 3, 8), numbers(8), numbers(8)],
     lambda x, w, b: F.layer_norm(x, (8,), w, b))
case("far from 0, two axes", "LayerNormalization", [numbers(2, 3, 4) + 5, numbers(3, 4), numbers(3, 4)],
     lambda x, w, b: F.layer_norm(x, (3, 4), w, b, 1e-3), {"axis": 1, "epsilon": 1e-3})
case("constant rows", "LayerNormalization", [torch.full((2, 4), 3.0), numbers(4), numbers(4)],
     lambda x, w, b: F.layer_norm(x, (4,), w, b))
case("2-D", "InstanceNormalization", [numbers(2, 3, 4, 2), numbers(3), numbers(3)],
     lambda x, w, b: F.instance_norm(x, None, None, w, b))
case("two groups", "GroupNormalization", [numbers(2, 6, 3, 2), numbers(6), numbers(6)],
     lambda x, w, b: F.group_norm(x, 2, w, b), {"num_groups": 2})
case("five channels", "LRN", [numbers(2, 7, 3, 2)], lambda x: F.local_response_norm(x, 5, 0.5, 0.75, 2.0),
     {"size": 5, "alpha": 0.5, "bias": 2})

with open(os.path.join(here, "nodes.json"), "w") as file:
    file.write("[\n" + ",\n".join(json.dumps(one, separators=(",", ":")) for one in cases) + "\n]\n")

# A network in training mode: Conv, BatchNorm, Relu, MaxPool, a strided Conv without bias, Relu, Flatten, dropout by
# mask, Linear, log-softmax, mean negative log-likelihood; every parameter, the input and one activation get their
# gradient.
p = {
    "input": numbers(3, 3, 8, 8),
    "features.0.weight": numbers(4, 3, 3, 3, scale=0.3),
    "features.0.bias": numbers(4),
    "features.1.weight": numbers(4),
    "features.1.bias": numbers(4),
    "features.4.weight": numbers(5, 4, 3, 3, scale=0.3),
    "classifier.0.weight": numbers(7, 20, scale=0.3),
    "classifier.0.bias": numbers(7),
}
mask = (torch.rand(3, 20) < 0.5).double() * 2
target = torch.tensor([1, 6, 1])
for tensor in p.values():
    tensor.requires_grad_()
x = F.conv2d(p["input"], p["features.0.weight"], p["features.0.bias"], padding=1)
x = F.batch_norm(x, None, None, p["features.1.weight"], p["features.1.bias"], True)
x = F.max_pool2d(F.relu(x), 2)
x = F.conv2d(x, p["features.4.weight"], None, stride=2, padding=1)
activation = F.relu(x)
activation.retain_grad()
x = activation.flatten(1) * mask
x = F.log_softmax(F.linear(x, p["classifier.0.weight"], p["classifier.0.bias"]), 1)
loss = F.nll_loss(x, target)
loss.backward()
with open(os.path.join(here, "network.json"), "w") as file:
    json.dump(
        {
            "values": {name: plain(tensor) for name, tensor in p.items()},
            "mask": plain(mask),
            "target": target.tolist(),
            "loss": loss.item(),
            "gradients": {name: plain(tensor.grad) for name, tensor in p.items()},
            "activationGradient": plain(activation.grad),
        },
        file,
        separators=(",", ":"),
    )
    file.write("\n")
