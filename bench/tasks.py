"""What is measured, as PyTorch's users write it. A task is made of the weights' file and its inputs; `check` gives the
results that both sides must agree on, `run` is what is timed."""
import importlib

import torch
from torch.nn import functional

import network

tt_svd = importlib.import_module("tt-svd")

LEARNING_RATE = 1e-5


class Inference:
    def __init__(self, weights, inputs):
        self.model = network.load(weights).eval()
        self.images = inputs["images"]

    def check(self):
        with torch.inference_mode():
            return {"output": self.model(self.images)}

    def run(self, how):
        with torch.inference_mode():
            for _ in range(how["runs"]):
                self.model(self.images)


def scaled(maps):
    low = maps.amin((1, 2), keepdim=True)
    high = maps.amax((1, 2), keepdim=True)
    return (maps - low) / (1e-7 + high - low)


class GradCam:
    def __init__(self, weights, inputs):
        self.model = network.load(weights).eval()
        self.images = inputs["images"]
        self.targets = inputs["targets"]
        self.model.vgg16.features[29].register_forward_hook(self.keep)

    def keep(self, module, args, output):
        self.activation = output
        if output.requires_grad:
            output.register_hook(self.keep_gradient)

    def keep_gradient(self, gradient):
        self.gradient = gradient

    def explain(self, images, targets, to_the_layer_only=False):
        self.model.zero_grad(set_to_none=True)
        score = self.model(images).gather(1, targets[:, None]).sum()
        if to_the_layer_only:
            (self.gradient,) = torch.autograd.grad(score, self.activation)
        else:
            score.backward()
        weights = self.gradient.mean((2, 3), keepdim=True)
        maps = scaled(torch.relu((weights * self.activation.detach()).sum(1)))
        maps = functional.interpolate(maps[:, None], images.shape[2:], mode="bilinear", align_corners=False)
        return scaled(maps[:, 0])

    def check(self):
        return {"maps": self.explain(self.images, self.targets)}

    def run(self, how):
        if how["batched"]:
            self.explain(self.images, self.targets, how["toTheLayerOnly"])
        else:
            for image, target in zip(self.images, self.targets):
                self.explain(image[None], target[None])


class Training:
    """Steps of Adam on batches of what `forward` takes, drawn anew for every epoch."""

    def __init__(self, weights, inputs):
        self.model = network.load(weights).train()
        self.inputs, self.labels, self.masks = inputs["inputs"], inputs["labels"], [inputs["mask0"], inputs["mask1"]]
        self.batch = self.masks[0].shape[0]
        self.trained = list(self.trained_parameters())
        self.optimizer = torch.optim.Adam([parameter for _, parameter in self.trained], lr=LEARNING_RATE)

    def trained_parameters(self):
        return self.model.named_parameters()

    def forward(self, x):
        return self.model(x)

    def step(self, indices):
        self.optimizer.zero_grad(set_to_none=True)
        loss = functional.nll_loss(self.forward(self.inputs[indices]), self.labels[indices])
        loss.backward()
        self.optimizer.step()
        return loss.item()

    def check(self):
        """Loss, gradients and statistics of one step with the given masks, and the parameters after it."""
        self.model.set_masks(self.masks)
        results = {"loss": torch.tensor([self.step(torch.arange(self.batch))])}
        self.model.set_masks([None, None])
        results.update({f"gradient/{name}": parameter.grad for name, parameter in self.trained})
        results.update({f"stepped/{name}": parameter.detach() for name, parameter in self.trained})
        results.update({f"updated/{name}": value for name, value in self.model.named_buffers() if "running" in name})
        return results

    def run(self, how):
        for _ in range(how["epochs"]):
            order = torch.randperm(len(self.inputs))
            for indices in order.split(self.batch):
                self.step(indices)


class HeadTraining(Training):
    """Only the classifier is trained, on cached features or, as usual, on images that go through the frozen rest."""

    def __init__(self, weights, inputs):
        super().__init__(weights, inputs)
        self.cached, self.images = self.inputs, inputs["images"]
        self.model.vgg16.features.requires_grad_(False)

    def trained_parameters(self):
        return ((name, value) for name, value in self.model.named_parameters() if ".classifier." in name)

    def forward(self, x):
        return self.model.head(x) if x.shape[1] == self.cached.shape[1] else self.model(x)

    def run(self, how):
        self.inputs = self.cached if how["cached"] else self.images
        super().run(how)
        self.inputs = self.cached


class TtSvd:
    def __init__(self, weights, inputs):
        self.weight = inputs["weight"]

    def check(self):
        weight = self.weight.numpy()
        return {"error": torch.tensor([tt_svd.relative_error(weight, tt_svd.tt_svd(weight, torch_svd))])}

    def run(self, how):
        tt_svd.tt_svd(self.weight.numpy(), torch_svd if how["library"] == "torch" else tt_svd.numpy_svd)


def torch_svd(matrix):
    return [factor.numpy() for factor in torch.linalg.svd(torch.from_numpy(matrix), full_matrices=False)]


TASKS = {
    "inference": Inference,
    "grad-cam": GradCam,
    "training": Training,
    "head-training": HeadTraining,
    "tt-svd": TtSvd,
}
