"""Load a bundle or a bare artifact: choose a variant and a delegate, and open it there."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from edgeai_runtime.delegates.attempt import use_first
from edgeai_runtime.delegates.choose import check_placement, check_report, needs_report
from edgeai_runtime.delegates.table import DEFAULT_DELEGATES, find_delegate
from edgeai_runtime.engines.artifact_file import format_of
from edgeai_runtime.engines.table import get_engine
from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import Variant
from edgeai_runtime.model import Model
from edgeai_runtime.placement import Placement

if TYPE_CHECKING:
    from edgeai_runtime.bundle import Bundle

#: More threads than this seldom help the small models of edge devices; `threads=` overrides it.
_MOST_THREADS = 4


def load(
    path: str | Path,
    *,
    placement: Placement | None = None,
    threads: int | None = None,
    variant: str | None = None,
    isolate: bool | None = None,
) -> Model:
    """Load a bundle (`.edge` file or folder) or a bare `.tflite`, `.onnx` or `.xml` file.

    Of a bundle, the variants are tried in the order of `placement.prefer`, then of the manifest; one whose engine is
    not installed, or that does not load, is passed over, and `model.placement.attempts` says why.

    Args:
        path: the bundle or artifact.
        placement: what is asked of the hardware; by default the best device there is.
        threads: at most this many; by default the processors this process may use, 4 at most.
        variant: the id of the only variant to try.
        isolate: open the file in a child process first. By default that is done for bare files, which may crash their
            engine, and not for bundles, whose digests are checked.

    Raises:
        UsageError: an argument makes no sense, or there is no such variant.
        BundleError: the bundle is incomplete or damaged.
        ModelError: the file is not a model, or crashes its engine.
        MissingEngineError: no installed engine can run it; the hint is the pip line that mends it.
        PlacementError: the hardware that is asked for can not be used; lists why not, delegate by delegate.

    Example:
        >>> model = load("digits.edge")                     # doctest: +SKIP
        >>> probabilities = model(image)                    # doctest: +SKIP
    """
    path, asked = Path(path), placement or Placement()
    check_placement(asked)
    threads = _default_threads() if threads is None else threads
    if threads < 1:
        raise UsageError(f"threads is at least 1. Received: {threads}")
    if not _looks_like_bundle(path):
        if variant is not None:
            raise UsageError(f"{path} is a bare artifact, not a bundle: it has no variant {variant!r}")
        candidates = [(_Choice(path=path), delegate) for delegate in DEFAULT_DELEGATES[format_of(path)]]
        candidates += _named_delegates(candidates[0], asked)
        return _use_first(candidates, asked, threads, isolate=isolate is not False, bundle=None)
    from edgeai_runtime.bundle import open_bundle

    bundle = open_bundle(path)
    variants = [one for one in bundle.manifest.variants if variant in (None, one.id)]
    if not variants:
        known = ", ".join(one.id for one in bundle.manifest.variants)
        raise UsageError(f"{path} has no variant {variant!r}", hint=f"its variants: {known}")
    candidates = [
        (_Choice(path=bundle.file(one.files[0]), variant=one), delegate)
        for one in variants
        for delegate in one.delegates or DEFAULT_DELEGATES[one.format]
    ]
    return _use_first(candidates, asked, threads, isolate=isolate is True, bundle=bundle)


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Choice:
    """An artifact that may be loaded, and the variant it belongs to."""

    path: Path
    variant: Variant | None = None


def _use_first(
    candidates: Sequence[tuple[_Choice, str]], asked: Placement, threads: int, *, isolate: bool, bundle: Bundle | None
) -> Model:
    def open_one(choice: _Choice, delegate: str) -> Model:
        return _open(choice, delegate, asked, threads, isolate=isolate, bundle=bundle)

    model, attempts = use_first(candidates, asked, open_one)
    model._attempts = attempts
    return model


def _open(
    choice: _Choice, delegate: str, asked: Placement, threads: int, *, isolate: bool, bundle: Bundle | None
) -> Model:
    spec = find_delegate(delegate)
    assert spec is not None, "delegates without a spec are skipped before"
    if isolate:
        from edgeai_runtime.isolation import check_in_child

        check_in_child(choice.path, engine=spec.engine, delegate=delegate, threads=threads)
    session = get_engine(spec.engine).open(choice.path, delegate=delegate, threads=threads, options={})
    if needs_report(asked):
        check_report(session.placement(), asked)
    return Model(session, variant=choice.variant, bundle=bundle, threads=threads)


def _named_delegates(first: tuple[_Choice, str], asked: Placement) -> list[tuple[_Choice, str]]:
    """Return the delegates of a bare file's engine that are not tried by default but named by the placement."""
    choice, default = first
    engine = default.partition(":")[0]
    names = (asked.require or "", *asked.prefer, *(asked.allow or ()))
    return [(choice, name) for name in dict.fromkeys(names) if name.startswith(f"{engine}:") and name != default]


def _looks_like_bundle(path: Path) -> bool:
    if path.suffix in (".tflite", ".onnx", ".xml"):
        return False
    if path.suffix == ".edge" and path.exists():
        return True  # if it is damaged, opening it says how
    from edgeai_runtime.bundle import is_bundle

    return is_bundle(path)


def _default_threads() -> int:
    from edgeai_runtime.bench.machine import usable_cores

    return min(usable_cores(), _MOST_THREADS)
