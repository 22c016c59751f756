"""Where the hard networks are kept; one that is not there, or was made by other code, is made."""

from __future__ import annotations

import hashlib
import os
import shutil
import subprocess
import sys
from importlib import metadata
from pathlib import Path

from hard_networks.table import HARD_NETWORKS

_HERE = Path(__file__).resolve().parent
FOLDER = _HERE.parents[1] / "build" / "hard-networks"
_MAKERS = ("images.py", "networks.py", "fit.py", "rescale.py", "table.py", "train.py")


def hard_network(name: str, *, root: Path = FOLDER) -> Path:
    """Return the folder with `model.onnx`, `training.npz`, `evaluation.npz` and `facts.json` of one network.

    Making one takes a minute or two on two quiet cores; it is kept below `root` under a key of the code and of
    PyTorch's version, and never half-written.

    Raises:
        KeyError: there is no such network.
        CalledProcessError: the training failed; its words are on stderr.
    """
    assert name in HARD_NETWORKS, f"hard networks: {', '.join(HARD_NETWORKS)}. Received: {name!r}"
    folder = root / f"{name}-{content_key()}"
    if folder.is_dir():
        return folder
    making = folder.with_name(f"{folder.name}.{os.getpid()}.tmp")
    making.mkdir(parents=True)
    paths = os.pathsep.join(filter(None, [str(_HERE.parent), os.environ.get("PYTHONPATH")]))
    command = [sys.executable, "-m", "hard_networks.train", name, str(making)]
    try:
        subprocess.run(command, check=True, stdout=sys.stderr, env={**os.environ, "PYTHONPATH": paths})
        making.rename(folder)
    finally:
        shutil.rmtree(making, ignore_errors=True)
    return folder


def content_key() -> str:
    """Return a short digest of everything that decides what the networks become."""
    total = hashlib.sha256(metadata.version("torch").encode())
    for file in _MAKERS:
        total.update((_HERE / file).read_bytes())
    return total.hexdigest()[:12]
