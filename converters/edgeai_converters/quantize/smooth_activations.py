"""A repair for transformers: move the outliers of some channels from activations into weights.

SmoothQuant, Xiao et al. 2022 (arXiv:2211.10438), equations 3 and 4: dense layers that read `X` read `X / s` instead,
with rows of their weights multiplied by `s`, `s_j = max|X_j|^alpha / max|W_j|^(1 - alpha)`. The division is folded
into what makes `X`: the scale and bias of a LayerNormalization, its written-out form, or a layer; nothing is added.
All layers that read one value (query, key and value) share one `s`; their largest weight counts.

Skipped: values that something else reads as well (a residual branch after the normalization), and values behind an
operator that is not homogeneous (the second dense layer behind a Gelu), where only an extra Mul could help.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import onnx_ir as ir

from edgeai_converters.quantize.channel_scaling import apply_scale, find_sites, input_ranges, merge
from edgeai_converters.quantize.factor_choice import balance, choose_factors
from edgeai_runtime.errors import UsageError


def smooth_activations(
    model: ir.Model, channel_maxima: Mapping[str, Sequence[float]], *, alpha: float | None = None
) -> tuple[ir.Model, bool]:
    """Return a copy of the float graph whose dense layers read smoother values.

    Postcondition: the graph computes the same in float, but for rounding. Ranges found before no longer hold: collect
    them anew.

    Args:
        model: the float graph, shapes inferred; not changed.
        channel_maxima: largest magnitude per channel of what layers read (`Ranges.channel_maxima`).
        alpha: 0 leaves the activations as they are (and evens out the weights), 1 makes all their channels alike; the
            paper takes 0.5, and 0.75 where outliers are many. `None` chooses it value by value (see `factor_choice`)
            and leaves values alone that gain nothing.

    Returns:
        The new graph, and whether it differs.

    Raises:
        UsageError: `alpha` is not between 0 and 1.
    """
    if alpha is not None and not 0.0 <= alpha <= 1.0:
        raise UsageError(f"alpha must be between 0 and 1. Received: {alpha!r}")
    copy = model.clone()
    changed = False
    for site in find_sites(copy):
        maxima = np.asarray(channel_maxima.get(str(site.value.name), ()), np.float64)
        if maxima.size != site.leader.size or any(node.op_type not in ("Gemm", "MatMul") for node in site.readers):
            continue
        factors = (
            choose_factors(site, maxima)
            if alpha is None
            else balance(merge(site, maxima), input_ranges(site, relative=False), alpha, 1.0 - alpha)
        )
        if factors is None:
            continue
        apply_scale(copy, site, factors)
        changed = True
    return (copy, True) if changed else (model, False)
