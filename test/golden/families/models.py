"""Small seeded networks of the families of torchvision, and three that other frameworks write. For make.py."""
import contextlib

import torch
import torch.nn.functional as F
from torch import nn
from torchvision import models
from torchvision.models.convnext import CNBlockConfig
from torchvision.models.efficientnet import FusedMBConvConfig, MBConvConfig
from torchvision.models.googlenet import BasicConv2d, Inception
from torchvision.models.mobilenetv3 import InvertedResidualConfig
from torchvision.models.inception import InceptionA, InceptionB, InceptionC, InceptionD, InceptionE
from torchvision.models.regnet import BlockParams

CLASSES = 7


@contextlib.contextmanager
def narrow(divisor):
    """Layers made inside have 1/divisor of the channels; images and classes keep theirs."""
    kept = {CLASSES, 1, 3}
    fewer = lambda channels: channels if channels in kept else max(channels // divisor, 1)
    originals = {cls: cls.__init__ for cls in (nn.Conv2d, nn.BatchNorm2d, nn.Linear)}

    def conv(self, cin, cout, *args, groups=1, **kwargs):
        originals[nn.Conv2d](self, fewer(cin), fewer(cout), *args, groups=fewer(groups), **kwargs)

    def norm(self, channels, *args, **kwargs):
        originals[nn.BatchNorm2d](self, fewer(channels), *args, **kwargs)

    def linear(self, cin, cout, *args, **kwargs):
        originals[nn.Linear](self, fewer(cin), fewer(cout), *args, **kwargs)

    try:
        nn.Conv2d.__init__, nn.BatchNorm2d.__init__, nn.Linear.__init__ = conv, norm, linear
        yield
    finally:
        for cls, init in originals.items():
            cls.__init__ = init


def resnet(block, layers):
    with narrow(16):
        return models.ResNet(block, layers, num_classes=CLASSES)


def squeezenet():
    with narrow(8):
        return models.SqueezeNet("1_1", num_classes=CLASSES)


def mobilenet_v1():
    def block(cin, cout, stride):
        return [
            nn.Conv2d(cin, cin, 3, stride, 1, groups=cin, bias=False), nn.BatchNorm2d(cin), nn.ReLU6(),
            nn.Conv2d(cin, cout, 1, bias=False), nn.BatchNorm2d(cout), nn.ReLU6(),
        ]

    features = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1, bias=False), nn.BatchNorm2d(8), nn.ReLU6(),
        *block(8, 16, 2), *block(16, 16, 1), *block(16, 24, 2), *block(24, 32, 2),
    )
    return nn.Sequential(features, nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(32, CLASSES), nn.LogSoftmax(1))


def mobilenet_v2():
    setting = [[1, 16, 1, 1], [6, 24, 1, 2], [6, 32, 2, 2], [6, 64, 1, 2]]
    with narrow(8):
        return models.MobileNetV2(CLASSES, inverted_residual_setting=setting)


def mobilenet_v3():
    block = InvertedResidualConfig
    setting = [
        block(8, 3, 8, 8, True, "RE", 2, 1, 1),
        block(8, 3, 24, 16, False, "RE", 2, 1, 1),
        block(16, 5, 32, 16, True, "HS", 1, 1, 1),
        block(16, 5, 48, 24, True, "HS", 2, 1, 1),
    ]
    return models.MobileNetV3(setting, 32, CLASSES)


def efficientnet():
    setting = [
        MBConvConfig(1, 3, 1, 32, 16, 1), MBConvConfig(6, 3, 2, 16, 24, 2), MBConvConfig(6, 5, 2, 24, 40, 1),
        MBConvConfig(6, 3, 2, 40, 48, 1),
    ]
    with narrow(4):
        return models.EfficientNet(setting, 0.2, num_classes=CLASSES, last_channel=128)


def efficientnet_v2():
    setting = [
        FusedMBConvConfig(1, 3, 1, 24, 24, 1), FusedMBConvConfig(4, 3, 2, 24, 32, 2), MBConvConfig(4, 3, 2, 32, 48, 2),
        MBConvConfig(6, 3, 2, 48, 64, 1),
    ]
    with narrow(4):
        return models.EfficientNet(setting, 0.2, num_classes=CLASSES, last_channel=128)


def densenet():
    return models.DenseNet(4, (2, 2, 3, 2), 8, num_classes=CLASSES)


class GoogLeNet(nn.Module):
    """Stem and two blocks of torchvision's; the pools are in ceil mode. In training it would have auxiliary heads."""

    def __init__(self, aux):
        super().__init__()
        conv = BasicConv2d
        self.conv1 = conv(3, 64, kernel_size=7, stride=2, padding=3)
        self.maxpool1 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception3a = Inception(64, 64, 96, 128, 16, 32, 32)
        self.maxpool3 = nn.MaxPool2d(3, stride=2, ceil_mode=True)
        self.inception4a = Inception(256, 192, 96, 208, 16, 48, 64)
        self.maxpool4 = nn.MaxPool2d(2, stride=2, ceil_mode=True)
        self.inception5a = Inception(512, 192, 96, 208, 16, 48, 64)
        self.avgpool = nn.AdaptiveAvgPool2d(1)
        self.dropout = nn.Dropout(0.2)
        self.aux = nn.Linear(512, CLASSES) if aux else None
        self.fc = nn.Linear(512, CLASSES)

    def forward(self, x):
        x = self.inception3a(self.maxpool1(self.conv1(x)))
        x = self.inception4a(self.maxpool3(x))
        head = torch.flatten(self.avgpool(x), 1)
        x = self.inception5a(self.maxpool4(x))
        x = self.fc(self.dropout(torch.flatten(self.avgpool(x), 1)))
        return (x, self.aux(head)) if self.aux else x


class InceptionV3(nn.Module):
    """One block of each kind of torchvision's."""

    def __init__(self):
        super().__init__()
        conv = BasicConv2d
        self.Conv2d_1a_3x3 = conv(3, 64, kernel_size=3, stride=2)
        self.Conv2d_2b_3x3 = conv(64, 64, kernel_size=3, padding=1)
        self.maxpool1 = nn.MaxPool2d(kernel_size=3, stride=2)
        self.Mixed_5b = InceptionA(64, pool_features=32)
        self.Mixed_6a = InceptionB(256)
        self.Mixed_6b = InceptionC(736, channels_7x7=128)
        self.Mixed_7a = InceptionD(768)
        self.Mixed_7b = InceptionE(1280)
        self.avgpool = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout = nn.Dropout()
        self.fc = nn.Linear(2048, CLASSES)

    def forward(self, x):
        x = self.maxpool1(self.Conv2d_2b_3x3(self.Conv2d_1a_3x3(x)))
        x = self.Mixed_7b(self.Mixed_7a(self.Mixed_6b(self.Mixed_6a(self.Mixed_5b(x)))))
        return self.fc(torch.flatten(self.dropout(self.avgpool(x)), 1))


def google_net(aux=False):
    with narrow(16):
        return GoogLeNet(aux)


def inception_v3():
    with narrow(32):
        return InceptionV3()


def shufflenet_v2():
    return models.ShuffleNetV2([1, 2, 1], [8, 16, 24, 32, 48], CLASSES)


def regnet():
    params = BlockParams([1, 2, 1], [8, 16, 24], [4, 8, 8], [1.0, 1.0, 1.0], [2, 2, 2], 0.25)
    return models.RegNet(params, CLASSES, stem_width=8)


def mnasnet():
    with narrow(16):
        return models.MNASNet(1.0, CLASSES)


def convnext():
    setting = [CNBlockConfig(8, 16, 1), CNBlockConfig(16, 24, 2), CNBlockConfig(24, None, 1)]
    return models.ConvNeXt(setting, num_classes=CLASSES)


def vit():
    return models.VisionTransformer(32, 8, 2, 2, 16, 32, num_classes=CLASSES)


def swin(depths):
    return models.SwinTransformer([4, 4], 8, depths, [2] * len(depths), [4, 4], mlp_ratio=2.0, num_classes=CLASSES)


class Attention(nn.Module):
    """Queries, keys and values from one layer, as timm writes it."""

    def __init__(self, dim, heads):
        super().__init__()
        self.heads = heads
        self.qkv = nn.Linear(dim, 3 * dim)
        self.proj = nn.Linear(dim, dim)

    def forward(self, x):
        n, t, c = x.shape
        q, k, v = self.qkv(x).reshape(n, t, 3, self.heads, c // self.heads).permute(2, 0, 3, 1, 4).unbind(0)
        weights = (q @ k.transpose(-2, -1) * (c // self.heads) ** -0.5).softmax(-1)
        return self.proj((weights @ v).transpose(1, 2).reshape(n, t, c))


class Block(nn.Module):
    def __init__(self, dim, heads):
        super().__init__()
        self.norm1 = nn.LayerNorm(dim)
        self.attn = Attention(dim, heads)
        self.norm2 = nn.LayerNorm(dim)
        self.mlp = nn.Sequential(nn.Linear(dim, 2 * dim), nn.GELU(), nn.Linear(2 * dim, dim))

    def forward(self, x):
        x = x + self.attn(self.norm1(x))
        return x + self.mlp(self.norm2(x))


class DeiT(nn.Module):
    """A class token, a distillation token, and images that are not square: 6×4 patches."""

    def __init__(self, dim=16, grid=(6, 4), patch=8):
        super().__init__()
        self.patch_embed = nn.Conv2d(3, dim, patch, patch)
        self.cls_token = nn.Parameter(torch.randn(1, 1, dim))
        self.dist_token = nn.Parameter(torch.randn(1, 1, dim))
        self.pos_embed = nn.Parameter(torch.randn(1, grid[0] * grid[1] + 2, dim) * 0.3)
        self.blocks = nn.Sequential(Block(dim, 2), Block(dim, 4))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, CLASSES)
        self.head_dist = nn.Linear(dim, CLASSES)

    def forward(self, x):
        x = self.patch_embed(x).flatten(2).transpose(1, 2)
        tokens = [token.expand(x.shape[0], -1, -1) for token in (self.cls_token, self.dist_token)]
        x = self.norm(self.blocks(torch.cat([*tokens, x], 1) + self.pos_embed))
        return (self.head(x[:, 0]) + self.head_dist(x[:, 1])) / 2


class MeanViT(nn.Module):
    """No class token: the mean of the patches is classified."""

    def __init__(self, dim=16, patch=8):
        super().__init__()
        self.patch_embed = nn.Conv2d(3, dim, patch, patch)
        self.blocks = nn.Sequential(Block(dim, 2), Block(dim, 2))
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, CLASSES)

    def forward(self, x):
        x = self.patch_embed(x).flatten(2).transpose(1, 2)
        return self.head(self.norm(self.blocks(x)).mean(1))


class TokenViT(nn.Module):
    """Patches of 4×6 with class and register tokens before and behind them."""

    def __init__(self, before=1, behind=0, dim=12, patch=8):
        super().__init__()
        self.embed = self.make_embed(dim, patch)
        self.before = nn.Parameter(torch.randn(1, before, dim))
        self.behind = nn.Parameter(torch.randn(1, behind, dim))
        self.pos = nn.Parameter(torch.randn(1, before + 24 + behind, dim) * 0.3)
        self.blocks = nn.ModuleList([Block(dim, 2), Block(dim, 2)])
        self.norm = nn.LayerNorm(dim)
        self.head = nn.Linear(dim, CLASSES)

    def make_embed(self, dim, patch):
        return nn.Conv2d(3, dim, patch, patch)

    def patches(self, x):
        return self.embed(x).flatten(2).transpose(1, 2)

    def tokens(self, x):
        parts = [self.before.expand(x.shape[0], -1, -1), self.patches(x), self.behind.expand(x.shape[0], -1, -1)]
        return torch.cat([part for part in parts if part.shape[1] > 0], 1) + self.pos

    def forward(self, x):
        x = self.tokens(x)
        for block in self.blocks:
            x = block(x)
        return self.read(self.norm(x))

    def read(self, x):
        return self.head(x[:, 0])


class SuffixViT(TokenViT):
    """Behind the patches: a register token, and a class token at the end."""

    def __init__(self):
        super().__init__(before=0, behind=2)

    def read(self, x):
        return self.head(x[:, -1])


class DroppingViT(TokenViT):
    """A class token before and three registers behind, which are dropped before the last block; the mean is read."""

    def __init__(self):
        super().__init__(before=1, behind=3)

    def forward(self, x):
        first, last = self.blocks
        _, patches, _ = first(self.tokens(x)).split([1, 24, 3], 1)
        return self.head(self.norm(last(patches)).mean(1))


class PatchifyViT(TokenViT):
    """Patches by reshape and a linear layer; odd tokens come before even ones, as an index says."""

    def __init__(self):
        super().__init__(before=2)
        self.register_buffer("shuffle", torch.cat([torch.arange(1, 24, 2), torch.arange(0, 24, 2)]))

    def make_embed(self, dim, patch):
        return nn.Linear(3 * patch * patch, dim)

    def patches(self, x):
        x = x.reshape(-1, 3, 4, 8, 6, 8).permute(0, 2, 4, 3, 5, 1).reshape(-1, 24, 3 * 64)
        return self.embed(x)[:, self.shuffle]


class HybridViT(TokenViT):
    """A stem of convolutions, and tokens [T, N, C], as PyTorch's own attention has them."""

    def __init__(self, dim=12):
        super().__init__()
        layer = nn.TransformerEncoderLayer(dim, 2, 24, activation="gelu", norm_first=True)
        self.blocks = nn.TransformerEncoder(layer, 2, enable_nested_tensor=False)
        del self.behind

    def make_embed(self, dim, patch):
        return nn.Sequential(nn.Conv2d(3, 8, 3, 2, 1), nn.BatchNorm2d(8), nn.ReLU(), nn.Conv2d(8, dim, 4, 4))

    def forward(self, x):
        x = self.patches(x).transpose(0, 1)
        x = torch.cat([self.before.transpose(0, 1).expand(-1, x.shape[1], -1), x]) + self.pos.transpose(0, 1)
        return self.head(self.norm(self.blocks(x))[0])


class ConvHead(nn.Module):
    """Fully convolutional: the output is [N, classes, 1, 1]."""

    def __init__(self):
        super().__init__()
        self.features = nn.Sequential(nn.Conv2d(3, 12, 5, 4, 2), nn.GELU(), nn.Conv2d(12, 16, 3, 2, 1), nn.ELU())
        self.pool = nn.AdaptiveAvgPool2d(1)
        self.head = nn.Conv2d(16, CLASSES, 1)

    def forward(self, x):
        return self.head(self.pool(self.features(x)))


class Keras(nn.Module):
    """What a Keras network computes on [N, H, W, C]; keras_onnx.py writes its graph as tf2onnx does."""

    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(3, 8, 3, 2)
        self.conv2 = nn.Conv2d(8, 8, 3, 1, 1, groups=8)
        self.conv3 = nn.Conv2d(8, 16, 1)
        self.conv4 = nn.Conv2d(16, 16, 3, 2, 1)
        self.dense = nn.Linear(16, CLASSES)

    def forward(self, x):
        nhwc = lambda layer, x: layer(x.permute(0, 3, 1, 2)).permute(0, 2, 3, 1)
        # Padding "same" with stride 2 adds a row below and a column to the right only.
        self.relu1 = F.relu(nhwc(lambda x: self.conv1(F.pad(x, (0, 1, 0, 1))), x))
        x = F.relu(nhwc(self.conv3, nhwc(self.conv2, self.relu1)))
        self.relu4 = F.relu(nhwc(self.conv4, x))
        return self.dense(self.relu4.mean((1, 2))).softmax(-1)
