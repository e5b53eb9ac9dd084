"""Computes one task at a time when asked to: reads questions from the standard input and answers on the standard
output, one line of JSON each. Usage: peer.py THREADS"""
import ctypes
import json
import platform
import resource
import sys
import time
import traceback

try:
    import numpy
    import torch

    import tasks

    torch.set_num_threads(int(sys.argv[1]))
except ImportError:
    torch = None


def blas():
    """The BLAS that is loaded, with the processor that OpenBLAS takes this one for; `None` where it is not known."""
    if sys.platform != "linux":
        return None
    with open("/proc/self/maps") as maps:
        files = {line.split()[-1] for line in maps if "blas" in line and ".so" in line}
    for file in sorted(files):
        library = ctypes.CDLL(file)
        if hasattr(library, "openblas_get_corename"):
            library.openblas_get_corename.restype = ctypes.c_char_p
            return f"OpenBLAS for {library.openblas_get_corename().decode()}"
    return ", ".join(sorted(file.rsplit("/", 1)[-1] for file in files)) or None


def versions():
    return {
        "python": platform.python_version(),
        "numpy": torch and numpy.__version__,
        "torch": torch and torch.__version__,
        "blas": torch and blas(),
    }


def main():
    task = None
    for line in sys.stdin:
        try:
            question = json.loads(line)
            answer = {}
            if question["ask"] == "versions":
                answer = versions()
            elif question["ask"] == "start":
                task = None  # Its memory is free before the next one is made.
                task = tasks.TASKS[question["task"]](question["weights"], torch.load(question["inputs"]))
            elif question["ask"] == "check":
                torch.save(task.check(), question["results"])
            elif question["ask"] == "time":
                start = time.perf_counter()
                task.run(question["how"])
                answer = {"seconds": time.perf_counter() - start}
            elif question["ask"] == "peak":
                answer = {"kilobytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss}
        except Exception:
            answer = {"error": traceback.format_exc()}
        print(json.dumps(answer), flush=True)


main()
