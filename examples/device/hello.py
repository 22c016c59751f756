"""Run a bundle on a device, where only `edgeai-runtime`, numpy and one engine are installed.

python hello.py digits.edge images.npy
"""

from __future__ import annotations

import sys

import numpy as np

import edgeai_runtime as rt


def main() -> None:
    """Load a bundle, run it on the array in a `.npy` file (or on zeros), and say where it ran."""
    with rt.load(sys.argv[1], placement=rt.Placement(prefer=("npu", "gpu", "cpu"))) as model:
        if len(sys.argv) > 2:
            x = np.load(sys.argv[2])
        else:
            spec = model.inputs[0]
            x = np.zeros([size or 1 for size in spec.shape], dtype=spec.dtype)
        print(model(x))
        print(model.placement)


if __name__ == "__main__":
    main()
