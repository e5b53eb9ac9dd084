"""What NumPy makes of truncations in a metric: `python3 make_whitened.py` writes whitened.json beside it."""

import json
from pathlib import Path

import numpy as np

rng = np.random.default_rng(5)


def moments(size: int, samples: int) -> np.ndarray:
    x = rng.standard_normal((samples, size)) * np.linspace(0.2, 2, size)
    return x.T @ x / samples


def root(a: np.ndarray) -> np.ndarray:
    values, vectors = np.linalg.eigh(a)
    return vectors @ np.diag(np.sqrt(values)) @ vectors.T


def rounded(a: np.ndarray) -> np.ndarray:
    # What the JSON holds is what both sides compute with.
    return np.round(a, 12)


ins, outs = 12, 7
weight = rounded(rng.standard_normal((ins, outs)))
gram, gradients = rounded(moments(ins, 40)), rounded(moments(outs, 30))
g, m = root(gram), root(gradients)
u, s, vt = np.linalg.svd(g @ weight @ m)
truncations = []
for rank in (1, 3, 6):
    best = np.linalg.inv(g) @ (u[:, :rank] * s[:rank]) @ vt[:rank] @ np.linalg.inv(m)
    truncations.append({"rank": rank, "loss": float(np.sum(s[rank:] ** 2)), "map": best.ravel().tolist()})

Path(__file__).with_name("whitened.json").write_text(
    json.dumps(
        {
            "inputs": ins,
            "outputs": outs,
            "weight": weight.ravel().tolist(),
            "gram": gram.ravel().tolist(),
            "gradients": gradients.ravel().tolist(),
            "truncations": truncations,
        }
    )
)
