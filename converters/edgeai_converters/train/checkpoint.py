"""Where an interrupted training goes on: one file per training, written after each pass over the examples."""

from __future__ import annotations

import logging
import os
import tempfile
from pathlib import Path
from typing import Any

from edgeai_converters.require import require

_LOG = logging.getLogger(__name__)
_FILE = "checkpoint.pt"


def save_checkpoint(folder: Path, key: str, state: dict[str, Any]) -> None:
    """Write the state; the file appears complete or not at all.

    Args:
        folder: made when it is missing.
        key: what the training depends on: another key makes the checkpoint void.
        state: numbers, texts, lists, tensors and dicts of them.
    """
    torch = require("torch", extra="torch")
    folder.mkdir(parents=True, exist_ok=True)
    handle, name = tempfile.mkstemp(dir=folder, prefix=f".{_FILE}-")
    try:
        with os.fdopen(handle, "wb") as file:
            torch.save({"key": key, **state}, file)
        Path(name).replace(folder / _FILE)
    finally:
        Path(name).unlink(missing_ok=True)


def load_checkpoint(folder: Path, key: str) -> dict[str, Any] | None:
    """Return the state of the same training, or `None`: there is none, it is another's, or it cannot be read."""
    torch = require("torch", extra="torch")
    file = folder / _FILE
    if not file.is_file():
        return None
    try:
        state: dict[str, Any] = torch.load(file, weights_only=True)
    except Exception as error:  # PyTorch's readers of broken files raise whatever they stumble over
        _LOG.warning("%s cannot be read (%s): training starts from the beginning", file, type(error).__name__)
        return None
    if state.get("key") != key:
        _LOG.info("%s belongs to another training: starting from the beginning", file)
        return None
    return state
