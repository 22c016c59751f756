"""Run a bundle's golden inputs on this machine and compare with what was recorded, within each variant's tolerance.

Not here yet: doing so in a child process before a delegate is used for the first time, with the verdict kept.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from edgeai_runtime.bundle import Bundle, open_bundle
from edgeai_runtime.bundle_verify import Check
from edgeai_runtime.errors import EdgeAIError, MissingEngineError
from edgeai_runtime.loading import load
from edgeai_runtime.manifest import Tolerance, Variant
from edgeai_runtime.model import Model

#: For an output without a tolerance of its own: a thousandth of its greatest value.
_DEFAULT_SHARE = 1e-3


def check_golden(path: Path, *, threads: int | None = None) -> list[Check]:
    """Run every variant whose engine is installed on the golden inputs; one check `golden <id>` each.

    A variant whose engine is missing is not a failure of the bundle: its check is good and says that nothing was run.

    Raises:
        BundleError: the bundle itself is incomplete or damaged.
    """
    bundle = open_bundle(path)
    if not bundle.manifest.golden:
        return []
    return [_check_variant(bundle, path, variant, threads) for variant in bundle.manifest.variants]


def compare_golden(bundle: Bundle, model: Model) -> tuple[bool, str]:
    """Run `model`, a variant of `bundle`, on the golden inputs; say whether it agrees and by how much it differs."""
    assert model.variant is not None, "a bare artifact has nothing recorded"
    golden = bundle.golden_outputs(model.variant.id)
    results = model.run_raw(model.preprocess(bundle.golden_inputs()))
    ok, texts = True, []
    for spec, result in zip(model.outputs, results, strict=True):
        good, text = _compare(spec.name, result, golden[spec.name], model.variant.tolerance.get(spec.name))
        ok = ok and good
        texts.append(text)
    return ok, "; ".join(texts)


def _check_variant(bundle: Bundle, path: Path, variant: Variant, threads: int | None) -> Check:
    name = f"golden {variant.id}"
    try:
        with load(path, variant=variant.id, threads=threads) as model:
            ok, detail = compare_golden(bundle, model)
            return Check(name=name, ok=ok, detail=f"{model.placement.delegate}: {detail}")
    except MissingEngineError as error:
        return Check(name=name, ok=True, detail=f"not run here: {error.message}")
    except EdgeAIError as error:
        return Check(name=name, ok=False, detail=str(error))


def _compare(name: str, result: Any, recorded: Any, tolerance: Tolerance | None) -> tuple[bool, str]:
    if result.shape != recorded.shape:
        return False, f"{name} has shape {result.shape}, recorded is {recorded.shape}"
    if not result.size:
        return True, f"{name} is empty, as recorded"
    got, want = result.astype(np.float64), recorded.astype(np.float64)
    if tolerance is None:
        tolerance = Tolerance(atol=_DEFAULT_SHARE * max(float(np.abs(want).max()), 1e-12), rtol=0.0)
    same = (got == want) | (np.isnan(got) & np.isnan(want))
    with np.errstate(invalid="ignore"):  # infinity less infinity
        difference = np.where(same, 0.0, np.abs(got - want))
    good = same | (difference <= tolerance.atol + tolerance.rtol * np.abs(want))
    limit = f"allowed {tolerance.atol:.3g} + {tolerance.rtol:.3g} · |recorded|"
    return bool(good.all()), f"{name} differs by at most {float(difference.max()):.3g} ({limit})"
