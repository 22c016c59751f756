"""Run a bundle's golden inputs on this machine and compare with what was recorded.

In this process, on a model that is loaded already; doing so in a child process before a delegate is used for the first
time, with remedies and a verdict that is kept, is `first_use.py`. What counts as right is `agreement.py`.
"""

from __future__ import annotations

from typing import Any

from edgeai_runtime.agreement import compare_output
from edgeai_runtime.bundle import Bundle
from edgeai_runtime.engines.table import recording_delegate
from edgeai_runtime.errors import BundleError
from edgeai_runtime.manifest_checks import SOURCE_KEY
from edgeai_runtime.model import Model


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
