"""Makes decompositions.json: singular values, eigenvalues and tensor trains by NumPy's LAPACK, in float64.
Run: python3 make.py (the goldens are from NumPy 1.24). Inputs have four digits, so that the file says them exactly."""
import json
import os

import numpy as np

rng = np.random.default_rng(11)


def digits(array, count=15):
    return [float(f"{v:.{count}g}") for v in np.asarray(array).ravel()]


def inputs(*shape):
    return np.round(rng.standard_normal(shape), 4)


def tt_svd(tensor, bonds):
    """The plain algorithm: a full SVD of every unfolding."""
    rest, cores, discarded, before = tensor.reshape(1, -1), [], 0.0, 1
    for mode, bond in zip(tensor.shape, bonds):
        u, s, vt = np.linalg.svd(rest.reshape(before * mode, -1), full_matrices=False)
        cores.append(u[:, :bond].reshape(before, mode, bond))
        discarded += np.sum(s[bond:] ** 2)
        rest, before = s[:bond, None] * vt[:bond], bond
    cores.append(rest.reshape(before, tensor.shape[-1], 1))
    full = cores[0]
    for core in cores[1:]:
        full = np.tensordot(full, core, axes=([-1], [0]))
    full = full.reshape(tensor.shape)
    return full, np.linalg.norm(tensor - full), np.sqrt(discarded)


def matrix(name, a):
    u, s, _ = np.linalg.svd(a, full_matrices=False)
    signs = np.sign(u[np.argmax(np.abs(u), axis=0), np.arange(u.shape[1])])
    return {"name": name, "rows": a.shape[0], "cols": a.shape[1], "values": digits(a), "singularValues": digits(s),
            "firstLeft": digits(u[:, 0] * signs[0])}


def train(modes, bonds):
    tensor = inputs(*modes)
    full, error, bound = tt_svd(tensor, bonds)
    return {"modes": modes, "bonds": bonds, "values": digits(tensor), "approximation": digits(full, 10),
            "error": error, "bound": bound}


def paired(out_modes, in_modes, bonds):
    """Layout tt-matrix: rows and columns interleaved, one mode for each pair."""
    weight = inputs(int(np.prod(out_modes)), int(np.prod(in_modes)))
    d = len(out_modes)
    order = [axis for k in range(d) for axis in (k, d + k)]
    tensor = weight.reshape(*out_modes, *in_modes).transpose(order)
    full, error, bound = tt_svd(tensor.reshape([o * i for o, i in zip(out_modes, in_modes)]), bonds)
    back = full.reshape(tensor.shape).transpose(np.argsort(order)).reshape(weight.shape)
    return {"outModes": out_modes, "inModes": in_modes, "bonds": bonds, "values": digits(weight),
            "approximation": digits(back, 10), "error": error, "bound": bound}


symmetric = inputs(9, 9)
symmetric = symmetric + symmetric.T
golden = {
    "matrices": [
        matrix("wide", inputs(7, 15)),
        matrix("tall", inputs(15, 6)),
        matrix("square", inputs(8, 8)),
        matrix("rank 3", np.round(inputs(10, 3) @ inputs(3, 12), 8)),
    ],
    "symmetric": {"size": 9, "values": digits(symmetric), "eigenvalues": digits(np.linalg.eigvalsh(symmetric)[::-1])},
    "trains": [
        train([4, 5, 6], [3, 4]),
        train([3, 4, 2, 5], [2, 5, 3]),
        train([2, 2, 2, 2, 2, 3], [2, 3, 4, 3, 2]),
        train([12, 9], [5]),
    ],
    "paired": [paired([2, 3], [4, 2], [3]), paired([2, 3, 2], [3, 2, 2], [4, 3])],
}
with open(os.path.join(os.path.dirname(os.path.abspath(__file__)), "decompositions.json"), "w") as file:
    json.dump(golden, file, separators=(",", ":"))
