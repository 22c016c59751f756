"""Read class names for a bundle and hold them against the model's output, before a wrong one reaches a device."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import TensorSpec


def read_labels(file: Path, outputs: Sequence[TensorSpec]) -> list[str]:
    """Return the class names of a text file, one per line; empty lines at its end are none.

    Args:
        file: UTF-8 text.
        outputs: of the model. They are counted against the only output `[N, classes]`; of other outputs one cannot
            tell which size is that of the classes.

    Raises:
        UsageError: the file is no such text, or has more or fewer names than there are classes.
    """
    try:
        text = file.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"The labels {file} cannot be read as UTF-8 text: {error}") from error
    labels = [line.rstrip("\r") for line in text.split("\n")]
    while labels and not labels[-1].strip():
        labels.pop()
    classes = outputs[0].shape[1] if len(outputs) == 1 and len(outputs[0].shape) == 2 else None
    if classes is not None and classes > 1 and len(labels) != classes:
        raise UsageError(
            f"{file} has {len(labels)} names, and the output {outputs[0].name!r} has {classes} classes.",
            hint="Write one name per line, in the order of the output.",
        )
    return labels
