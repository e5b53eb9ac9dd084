"""Makes maps.json: Grad-CAM's arithmetic by PyTorch and OpenCV, as the field's reference implementation strings it
together. Run: python3 make.py (needs torch, numpy and OpenCV; the goldens below are from 1.13, 1.24 and 4.6)."""
import json
import os

import cv2
import numpy as np
import torch


def rounded(array, digits=7):
    return [float(f"{v:.{digits}g}") for v in np.asarray(array, np.float64).ravel()]


def scale(m):
    m = m - np.min(m)
    return m / (1e-7 + np.max(m))


torch.manual_seed(3)
activation = torch.relu(torch.randn(5, 4, 3))
gradient = torch.randn(5, 4, 3) * 0.01
raw = torch.relu((gradient.mean(dim=(1, 2), keepdim=True) * activation).sum(0)).numpy()
finished = scale(cv2.resize(np.float32(scale(raw)), (11, 14)))  # (width, height)
down = cv2.resize(finished, (5, 6), interpolation=cv2.INTER_LINEAR)

rng = np.random.default_rng(0)
image = rng.integers(0, 256, (14, 11, 3), dtype=np.uint8)
heat = cv2.cvtColor(cv2.applyColorMap(np.uint8(255 * finished), cv2.COLORMAP_JET), cv2.COLOR_BGR2RGB)
blend = 0.5 * (np.float32(heat) / 255) + 0.5 * (np.float32(image) / 255)
overlay = np.uint8(255 * (blend / np.max(blend)))

jet = cv2.applyColorMap(np.arange(256, dtype=np.uint8)[:, None], cv2.COLORMAP_JET)[:, 0, ::-1]

golden = {
    "activation": rounded(activation), "gradient": rounded(gradient), "dims": [5, 4, 3], "size": [14, 11],
    "raw": rounded(raw), "finished": rounded(finished), "down": rounded(down), "downSize": [6, 5],
    "image": image.ravel().tolist(), "overlay": overlay.ravel().tolist(), "jet": jet.ravel().tolist(),
}
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "maps.json"), "w") as file:
    json.dump(golden, file, separators=(",", ":"))
