"""Write the float graphs that a search trained, for people to load, read and train on."""

from __future__ import annotations

from itertools import islice
from pathlib import Path

from edgeai_converters.pipeline import Compression
from edgeai_converters.recipe import name_of
from edgeai_converters.train.write import write_trained
from edgeai_runtime.errors import OutputError

SUFFIXES = (".onnx", ".pt2")


def write_models(result: Compression, folder: Path, *, force: bool = False) -> tuple[Path, ...]:
    """Write every network that candidates were made from, but the source's own, as `.onnx` and as `.pt2`.

    They are named like the candidates, without format and precision: `latency50g-distilled.onnx`.

    Args:
        result: a search.
        folder: where to; it is made when missing.
        force: overwrite.

    Returns:
        The files; none when nothing but the source's own network was used.

    Raises:
        OutputError: a file exists and `force` is not set.
    """
    used = [candidate.recipe.base for candidate in result.candidates if candidate.artifact]
    bases = [base for base in result.bases if base.steps and base.steps in used]
    targets = [(base, folder / f"{name_of(base.steps)}{suffix}") for base in bases for suffix in SUFFIXES]
    for _, target in targets:
        if target.exists() and not force:
            raise OutputError(f"{target} exists.", hint="Use --force to overwrite it.")
    folder.mkdir(parents=True, exist_ok=True)
    for base, target in targets:
        assert base.calibration is not None  # what was reshaped was reshaped by samples
        write_trained(base.graph.model, target, islice(base.calibration.batches(), 1))
    return tuple(target for _, target in targets)
