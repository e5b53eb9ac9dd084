"""The plain TT-SVD of a 512×25088 weight: a full SVD of every unfolding through LAPACK.
Usage on its own: tt-svd.py [WEIGHT.npy]   (default: seeded random numbers). Needs NumPy on an optimised BLAS and LAPACK.
Prints one line of JSON: seconds and the relative Frobenius error, in float32 as it is mostly run and in float64."""
import json
import sys
import time

import numpy as np

MODES, BONDS = [16, 32, 112, 224], [16, 100, 150]


def numpy_svd(matrix):
    return np.linalg.svd(matrix, full_matrices=False)


def tt_svd(weight, svd=numpy_svd):
    rest, cores, before = weight, [], 1
    for mode, bond in zip(MODES, BONDS):
        u, s, vt = svd(rest.reshape(before * mode, -1))
        cores.append(u[:, :bond].reshape(before, mode, bond))
        rest, before = s[:bond, None] * vt[:bond], bond
    cores.append(rest.reshape(before, MODES[-1], 1))
    return cores


def rebuild(cores):
    full = cores[-1]
    for core in reversed(cores[:-1]):
        full = np.tensordot(core, full, axes=([-1], [0]))
    return full


def relative_error(weight, cores):
    difference = rebuild([core.astype(np.float64) for core in cores]).ravel() - weight.ravel()
    return float(np.linalg.norm(difference) / np.linalg.norm(weight.astype(np.float64)))


def measure(weight):
    start = time.perf_counter()
    cores = tt_svd(weight)
    seconds = time.perf_counter() - start
    return {"seconds": round(seconds, 3), "error": relative_error(weight, cores)}


def main():
    if len(sys.argv) > 1:
        weight = np.load(sys.argv[1], allow_pickle=False)
    else:
        weight = np.random.default_rng(0).standard_normal((512, 25088), dtype=np.float32) * np.float32(0.01)
    if weight.size != np.prod(MODES):
        sys.exit(f"Expected a weight of 512×25088, found {weight.shape} in {sys.argv[1]}.")
    weight = np.ascontiguousarray(weight)
    float32 = measure(weight.astype(np.float32))
    print(json.dumps({**float32, "float64": measure(weight.astype(np.float64))}))


if __name__ == "__main__":
    main()
