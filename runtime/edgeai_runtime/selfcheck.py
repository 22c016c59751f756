"""Run a bundle's golden inputs on this machine and compare with what was recorded.

In this process, on a model that is loaded already; doing so in a child process before a delegate is used for the first
time, with remedies and a verdict that is kept, is `first_use.py`. What counts as right is `agreement.py`.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeai_runtime.agreement import compare_output, recording_delegate
from edgeai_runtime.bundle import Bundle, open_bundle
from edgeai_runtime.bundle_verify import Check
from edgeai_runtime.errors import BundleError, EdgeAIError, MissingEngineError
from edgeai_runtime.loading import load
from edgeai_runtime.manifest import Variant
from edgeai_runtime.manifest_checks import SOURCE_KEY, stage_folder
from edgeai_runtime.model import Model

if TYPE_CHECKING:
    from edgeai_runtime.signature import Trust


def check_golden(path: Path, *, threads: int | None = None, trust: Trust | None = None) -> list[Check]:
    """Run every variant whose engine is installed on the golden inputs; one check `golden <id>` each.

    A variant whose engine is missing is not a failure of the bundle: its check is good and says that nothing was run.
    The stages of a pipeline are checked one by one. `trust` is as for `load`.

    Raises:
        BundleError: the bundle itself is incomplete or damaged, or not what `trust` demands.
    """
    from edgeai_runtime.signature import Trust, trust_here

    trust = trust_here() if trust is None else trust
    bundle = open_bundle(path, trust=trust)
    if bundle.manifest.pipeline is not None:
        return [
            dataclasses.replace(check, name=f"{stage.name}: {check.name}")
            for stage in bundle.manifest.pipeline.stages
            for check in check_golden(bundle.root / stage_folder(stage), threads=threads, trust=Trust())
        ]
    if not bundle.manifest.golden:
        return []
    return [_check_variant(bundle, path, variant, threads, trust) for variant in bundle.manifest.variants]


def compare_golden(bundle: Bundle, model: Model, *, delegate: str = "") -> tuple[bool, str]:
    """Run `model`, a variant of `bundle`, on the golden inputs; say whether it agrees and by how much it differs.

    With `delegate`, the one it runs on, the tolerance for another than the recording delegate applies where it is one;
    without, the recorded outputs are expected.
    """
    variant = model.variant
    assert variant is not None, "a bare artifact has nothing recorded"
    other = bool(delegate) and delegate != recording_delegate(variant)
    golden, source = bundle.golden_outputs(variant.id), _source(bundle) if other else {}
    results = model.run_raw(model.preprocess(bundle.golden_inputs()))
    ok, texts = True, []
    for spec, result in zip(model.outputs, results, strict=True):
        tolerance = variant.tolerance.get(spec.name)
        good, text = compare_output(
            spec.name, result, golden[spec.name], tolerance, source=source.get(spec.name), other=other
        )
        ok = ok and good
        texts.append(text)
    return ok, "; ".join(texts)


def _source(bundle: Bundle) -> dict[str, Any]:
    try:
        return bundle.golden_outputs(SOURCE_KEY)
    except BundleError:  # not every bundle has a float source
        return {}


def _check_variant(bundle: Bundle, path: Path, variant: Variant, threads: int | None, trust: Trust) -> Check:
    name = f"golden {variant.id}"
    try:
        with load(path, variant=variant.id, threads=threads, trust=trust) as model:
            delegate = model.placement.delegate
            ok, detail = compare_golden(bundle, model, delegate=delegate)
            return Check(name=name, ok=ok, detail=f"{delegate}: {detail}")
    except MissingEngineError as error:
        return Check(name=name, ok=True, detail=f"not run here: {error.message}")
    except EdgeAIError as error:
        return Check(name=name, ok=False, detail=str(error))
