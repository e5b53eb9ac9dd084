"""Makes FAMILY.onnx and FAMILY.json: what PyTorch computes with small networks of every family of classifiers, for
test/families. Run: python3 make.py [FAMILY…] (the files are from PyTorch 1.13 and torchvision 0.14).

Weights are float32 as exported; what they are compared with is computed in float64. Images are images.npy, uint8
[2, 3, 64, 64]; a network sees (image - 128) / 64, of which smaller ones take the upper left corner.
"""
import copy
import itertools
import json
import os
import sys
import warnings

import numpy as np
import torch
from torch import nn
from torchvision.models.resnet import BasicBlock, Bottleneck

import models
from keras_onnx import keras_onnx

here = os.path.dirname(os.path.abspath(__file__))
torch.set_num_threads(2)
warnings.filterwarnings("ignore")

# Every STRIDE-th element of the input's gradient is kept.
STRIDE = 23


def images(size):
    """[2, 3, H, W] float64."""
    pixels = np.load(os.path.join(here, "images.npy"))[:, :, : size[0], : size[1]]
    return torch.from_numpy(pixels.astype(np.float64) - 128) / 64


def randomize(model, size):
    """Scales and shifts away from 1 and 0, batch norms with the statistics of some images, more or less."""
    for module in model.modules():
        if isinstance(module, (nn.BatchNorm2d, nn.LayerNorm)):
            nn.init.uniform_(module.weight, 0.6, 1.4)
            nn.init.normal_(module.bias, 0, 0.2)
        if isinstance(module, nn.BatchNorm2d):
            module.momentum = 1.0
        if isinstance(module, (nn.Conv2d, nn.Linear)) and module.bias is not None:
            nn.init.normal_(module.bias, 0, 0.1)
    for name, parameter in model.named_parameters():
        if name.endswith("layer_scale"):
            nn.init.uniform_(parameter, 0.3, 0.8)
    with torch.no_grad():
        model.train()
        model(torch.randn(16, 3, *size) if not isinstance(model, models.Keras) else torch.randn(16, *size, 3))
        model.eval()
        for module in model.modules():
            if isinstance(module, nn.BatchNorm2d):
                module.running_mean += 0.1 * module.running_var.sqrt() * torch.randn(module.num_features)
                module.running_var *= torch.empty(module.num_features).uniform_(0.7, 1.4)
            # Scores that differ, so that the predicted class is beyond doubt.
            if isinstance(module, nn.Linear) and module.out_features == models.CLASSES:
                nn.init.normal_(module.weight, 0, 3 / module.in_features**0.5)


def short(values):
    return [float("%.8g" % x) for x in values.detach().double().flatten().tolist()]


def grid_of(activation, layout, grid):
    """[N, C, H, W] of what a layer gives: "nchw", "nhwc", "tokens", the last H·W of [N, T, C], or a function to them."""
    if layout == "nchw":
        return activation
    if layout == "nhwc":
        return activation.permute(0, 3, 1, 2)
    h, w = grid
    activation = layout(activation) if callable(layout) else activation
    return activation[:, -h * w :].transpose(1, 2).unflatten(2, (h, w))


def grad_cam(model, x, find, targets, layout, grid):
    """Raw maps [N, h, w] for a class per image, by a hook's activation and autograd's gradient of it."""
    kept = {}
    if isinstance(find, str):
        hook = model.get_submodule(find).register_forward_hook(lambda _, __, y: kept.update(y=y) or None)
    scores = head(model(x))
    activation = kept["y"] if isinstance(find, str) else find(model)
    if isinstance(find, str):
        hook.remove()
    chosen = scores.gather(1, torch.tensor(targets)[:, None]).sum()
    (gradient,) = torch.autograd.grad(chosen, activation)
    a, g = (grid_of(one, layout, grid) for one in (activation, gradient))
    return torch.relu((g.mean((2, 3), keepdim=True) * a).sum(1))


def head(output):
    """The first output, [N, classes]."""
    output = output[0] if isinstance(output, tuple) else output
    return output.flatten(1)


def clear(scores, maps):
    """Whether rounding leaves the predicted classes as they are, and every map shows something."""
    first, second = scores.topk(2, 1).values.unbind(1)
    return (first - second).min() > 0.03 and all((m.amax((1, 2)) > m.amin((1, 2))).all() for m in maps)


def family(name, make, opset, layers, size=64, layout="nchw", grid=None, batch="N", fold=True):
    """`layers`: path of the exported layer → the module of PyTorch's whose output it is; the first is the default."""
    if sys.argv[1:] and name not in sys.argv[1:]:
        return
    size = (size, size) if isinstance(size, int) else size
    x = images(size)
    for seed in itertools.count(sum(map(ord, name))):
        torch.manual_seed(seed)
        single = make()
        randomize(single, size)
        model = copy.deepcopy(single).double()
        nhwc = isinstance(model, models.Keras)
        fed = (x.permute(0, 2, 3, 1).contiguous() if nhwc else x).requires_grad_()
        scores = head(model(fed))
        # The default layer explains the predicted classes, the other one given classes.
        targets = [scores.argmax(1).tolist(), [2, 5]]
        maps = [grad_cam(model, fed, find, *rest, layout, grid) for find, *rest in zip(layers.values(), targets)]
        if clear(scores, maps):
            break
    file = os.path.join(here, f"{name}.onnx")
    if nhwc:
        with open(file, "wb") as out:
            out.write(keras_onnx(single, size[0], opset))
    else:
        outputs = ["output", "aux"] if isinstance(model(fed), tuple) else ["output"]
        torch.onnx.export(
            single, fed.detach().float(), file, opset_version=opset, input_names=["input"], output_names=outputs,
            dynamic_axes={key: {0: "N"} for key in ["input", *outputs]} if batch == "N" else None,
            do_constant_folding=fold,
        )
    target = targets[0][0]
    (gradient,) = torch.autograd.grad(scores[:, target].sum(), fed)
    golden = {
        "opset": opset, "size": size, "channelsLast": nhwc, "batch": batch, "scores": short(scores), "target": target,
        "gradient": short(gradient.flatten()[::STRIDE]), "gradientNorm": gradient.norm().item(),
        "layers": [
            {"path": path, "targets": chosen, "dims": list(one.shape[1:]), "maps": short(one)}
            for path, chosen, one in zip(layers, targets, maps)
        ],
    }
    print(f"{name:24} opset {opset:2} {os.path.getsize(file):7} bytes, grids {[m['dims'] for m in golden['layers']]}")
    with open(os.path.join(here, f"{name}.json"), "w") as out:
        json.dump(golden, out, separators=(",", ":"))
        out.write("\n")


if not os.path.exists(os.path.join(here, "images.npy")):
    coarse = np.random.default_rng(5).normal(0, 1, (2, 3, 16, 16)).repeat(4, 2).repeat(4, 3)
    fine = np.random.default_rng(6).normal(0, 1, (2, 3, 64, 64))
    np.save(os.path.join(here, "images.npy"), np.clip(128 + 50 * coarse + 20 * fine, 0, 255).astype(np.uint8))

family("resnet-basic", lambda: models.resnet(BasicBlock, [1, 1, 1, 1]), 9,
       {"layer4.0.relu_1": "layer4", "layer2.0.relu_1": "layer2"})
family("resnet-bottleneck", lambda: models.resnet(Bottleneck, [1, 1, 1, 1]), 13,
       {"layer4.0.relu_2": "layer4", "layer3.0.relu_2": "layer3"}, batch=2)
family("squeezenet", models.squeezenet, 11, {"features.12": "features.12", "features.9": "features.9"})
family("mobilenet-v1", models.mobilenet_v1, 9, {"0.26": "0.26", "0.14": "0.14"})
family("mobilenet-v2", models.mobilenet_v2, 11, {"features.6.2": "features.6.2", "features.4": "features.4"})
family("mobilenet-v3", models.mobilenet_v3, 13, {"features.5.2": "features.5.2", "features.3": "features.3"})
family("mobilenet-v3-hardswish", models.mobilenet_v3, 14,
       {"features.5.2": "features.5.2", "features.4.block.3.0": "features.4"})
family("efficientnet", models.efficientnet, 15, {"features.5.2": "features.5.2", "features.2.1": "features.2"})
family("efficientnet-v2", models.efficientnet_v2, 17, {"features.5.2": "features.5.2", "features.2.1": "features.2"})
family("densenet", models.densenet, 11, {"Relu": "features", "features.denseblock3": "features.denseblock3"})
family("googlenet", models.google_net, 9, {"inception5a": "inception5a", "inception4a": "inception4a"}, fold=False)
family("googlenet-aux", lambda: models.google_net(aux=True), 13,
       {"inception5a": "inception5a", "inception3a": "inception3a"})
family("inception-v3", models.inception_v3, 15, {"Mixed_7b": "Mixed_7b", "Mixed_6b": "Mixed_6b"})
family("shufflenet-v2", models.shufflenet_v2, 16, {"conv5.2": "conv5.2", "stage3.1": "stage3"})
family("regnet", models.regnet, 16,
       {"trunk_output.block3.block3-0.activation": "trunk_output", "stem.2": "stem.2"})
family("mnasnet", models.mnasnet, 17, {"layers.16": "layers.16", "layers.12.3": "layers.12"})
family("convnext", models.convnext, 17, {"features.5.0": "features.5", "features.3.1": "features.3"})
family("convnext-old", models.convnext, 11, {"features.5.0": "features.5", "features.3.1": "features.3"})
tokens = {"layout": "tokens", "grid": (4, 4)}
blocks = "encoder.layers.encoder_layer_"
family("vit", models.vit, 13, {f"{blocks}1.ln_1": f"{blocks}1.ln_1", f"{blocks}0": f"{blocks}0"}, size=32, **tokens)
family("vit-layernorm", models.vit, 17, {f"{blocks}1.ln_1": f"{blocks}1.ln_1", f"{blocks}0": f"{blocks}0"}, size=32,
       **tokens)
family("vit-mean", models.MeanViT, 16, {"norm": "norm", "blocks.0": "blocks.0"}, size=32, **tokens)
family("deit-distilled", models.DeiT, 15, {"blocks.1.norm1": "blocks.1.norm1", "blocks.0": "blocks.0"}, size=(48, 32),
       layout="tokens", grid=(6, 4))
wide = {"size": (32, 48), "grid": (4, 6)}
norm1 = {"blocks.1.norm1": "blocks.1.norm1", "blocks.0": "blocks.0"}
family("vit-registers", lambda: models.TokenViT(before=5), 13, norm1, layout="tokens", **wide)
family("vit-suffix", models.SuffixViT, 16, norm1, layout=lambda x: x[:, :24], **wide)
family("vit-dropping", models.DroppingViT, 17, {"norm": "norm", "blocks.0": "blocks.0"},
       layout=lambda x: x if x.shape[1] == 24 else x[:, 1:25], **wide)
unshuffled = [2 + 12 * (1 - i % 2) + i // 2 for i in range(24)]
family("vit-patchify", models.PatchifyViT, 14, norm1, layout=lambda x: x[:, unshuffled], **wide)
family("vit-hybrid", models.HybridViT, 16,
       {"blocks.layers.1.norm1": "blocks.layers.1.norm1", "blocks.layers.0": "blocks.layers.0"},
       layout=lambda x: x.transpose(0, 1), **wide)
# Larger than the others: 9 parts of each mask are assigned one by one.
family("swin", lambda: models.swin([2, 1]), 13, {"norm": "norm", "features.1.0": "features.1.0"}, size=32,
       layout="nhwc")
family("conv-head", models.ConvHead, 13, {"features.3": "features.3", "features.1": "features.1"}, size=32)
family("keras", models.Keras, 13, {"conv4": lambda model: model.relu4, "conv1": lambda model: model.relu1}, size=32,
       layout="nhwc")
