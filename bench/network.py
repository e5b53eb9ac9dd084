"""The study's VGG16 in PyTorch: torchvision's features, a 7×7 adaptive pooling and a classifier with batch norms."""
import torch
from torch import nn

CHANNELS = [64, 64, "M", 128, 128, "M", 256, 256, 256, "M", 512, 512, 512, "M", 512, 512, 512, "M"]


class Dropout(nn.Module):
    """Dropout of one half, or the product with a given mask (values 0 and 2)."""

    mask = None

    def forward(self, x):
        if self.training and self.mask is not None:
            return x * self.mask
        return nn.functional.dropout(x, 0.5, self.training)


def features():
    layers, inputs = [], 3
    for channels in CHANNELS:
        if channels == "M":
            layers.append(nn.MaxPool2d(2, 2))
        else:
            layers += [nn.Conv2d(inputs, channels, 3, padding=1), nn.ReLU(inplace=True)]
            inputs = channels
    return nn.Sequential(*layers)


def classifier():
    return nn.Sequential(
        nn.Linear(25088, 512), nn.ReLU(inplace=True), nn.BatchNorm1d(512), Dropout(),
        nn.Linear(512, 512), nn.ReLU(inplace=True), nn.BatchNorm1d(512), Dropout(),
        nn.Linear(512, 200),
    )


class Vgg16(nn.Module):
    def __init__(self):
        super().__init__()
        self.vgg16 = nn.Module()
        self.vgg16.features = features()
        self.vgg16.classifier = classifier()
        self.avgpool = nn.AdaptiveAvgPool2d(7)

    def head(self, x):
        return torch.log_softmax(self.vgg16.classifier(torch.flatten(self.avgpool(x), 1)), 1)

    def forward(self, x):
        return self.head(self.vgg16.features(x))

    def set_masks(self, masks):
        """Masks for the dropouts, in order; `None`s draw them at random again."""
        for module, mask in zip((m for m in self.modules() if isinstance(m, Dropout)), masks):
            module.mask = mask


def load(file):
    model = Vgg16()
    missing, unexpected = model.load_state_dict(torch.load(file), strict=False)
    assert not unexpected and all(name.endswith("num_batches_tracked") for name in missing), (missing, unexpected)
    return model
