"""What calibration samples say about static int8 in one scheme, by simulation: what to try first.

A guide, never a result: the search split decides on the real artifact.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from difflib import get_close_matches
from pathlib import Path

from edgeai_converters.quantize.output_error import OutputError
from edgeai_converters.quantize.range_per_tensor import choose_ranges_per_tensor
from edgeai_converters.quantize.schemes import SCHEMES
from edgeai_converters.quantize.sensitive_inputs import find_sensitive_inputs
from edgeai_converters.quantize.units import node_keys
from edgeai_converters.search.calibration import Calibration
from edgeai_converters.search.repairs import CHEAP, CHOICES, GRAPH_REPAIRS, WEIGHT_REPAIRS, WRITE_OUT
from edgeai_converters.search.steps import NoEffectError, quantize
from edgeai_converters.search.variant import Variant
from edgeai_converters.versions import tool_versions
from edgeai_runtime.errors import UsageError
from edgeai_runtime.manifest import Format

SAMPLES = 32
"""Calibration samples that variants are simulated on."""

WORTH = 0.9
"""A repair is kept when it brings the simulated error below this share of what it was."""

NEGLIGIBLE = 1e-5
"""Squared relative output error at which nothing is left to repair."""

_FILE = "guide.json"


def guide(
    calibration: Calibration,
    format: Format,
    scheme: str,
    *,
    forced: Sequence[str] | None,
    excluded: Mapping[str, str],
) -> tuple[Variant, ...]:
    """Return the variants worth trying, the one with the least simulated error first; kept in the work folder.

    Args:
        calibration: samples and ranges.
        format: what will be written.
        scheme: name of the quantization scheme.
        forced: repairs to make whatever the simulation says; `None` leaves the choice to it.
        excluded: nodes to keep in float in any case, with the reason.
    """

    def make(folder: Path) -> None:
        found = _Simulation(calibration, format, scheme, excluded).variants(forced)
        (folder / _FILE).write_text(json.dumps([asdict(one) for one in found]))

    key = {
        "calibration": calibration.digest(),
        "scheme": scheme,
        "repairs": [*GRAPH_REPAIRS, *CHOICES, *WEIGHT_REPAIRS] if forced is None else ["forced", *forced],
        "excluded": dict(excluded),
        "tools": tool_versions(),
    }
    document = json.loads((calibration.work.step("guide", key, make) / _FILE).read_text())
    return tuple(Variant(**{**one, "repairs": tuple(one["repairs"])}) for one in document)


def refined(calibration: Calibration, scheme: str, variant: Variant) -> Variant:
    """Return the variant with a range method of its own for values that gain by it; kept in the work folder."""
    repairs = variant.graph_repairs

    def make(folder: Path) -> None:
        choice, _ = choose_ranges_per_tensor(
            calibration.model(repairs),
            calibration.ranges(repairs),
            SCHEMES[scheme],
            calibration.batches(SAMPLES),
            excluded=variant.excluded,
        )
        (folder / _FILE).write_text(json.dumps(choice))

    key = {
        "calibration": calibration.digest(repairs),
        "quantize": variant.quantize_params(scheme),
        "tools": tool_versions(),
    }
    choice = json.loads((calibration.work.step("refined", key, make) / _FILE).read_text())
    return replace(variant, methods={name: one for name, one in choice.items() if one != variant.method})


@dataclass(frozen=True)
class _Simulation:
    """Variants of one scheme, simulated."""

    calibration: Calibration
    format: Format
    scheme: str
    excluded: Mapping[str, str]

    def variants(self, forced: Sequence[str] | None) -> list[Variant]:
        calibration = self.calibration
        base: tuple[str, ...] = ()
        for name in WRITE_OUT.get(self.format, ()):
            if calibration.changes((*base, name)):
                base = (*base, name)
        self._require_nodes(base if forced is None else (*base, *(name for name in forced if name in GRAPH_REPAIRS)))
        error = OutputError(calibration.model(), calibration.batches(SAMPLES))
        widest = next(iter(calibration.ranges(base).tensors.values()))
        kept = find_sensitive_inputs(calibration.model(base), widest, SCHEMES[self.scheme], error.batches)
        start = Variant(method=calibration.methods[0], repairs=base, excluded={**kept, **self.excluded})
        if forced is not None:
            start = replace(start, repairs=(*base, *(name for name in forced if name not in CHOICES)))
            for name in (name for name in forced if name in CHOICES):
                start = self._with_choice(start, name)
        try:
            plain = [self._rated(replace(start, method=method), error) for method in calibration.methods]
        except NoEffectError:  # nothing is computed in integers here: let the first recipe say so
            return [start]
        plain.sort(key=lambda one: one.error)
        best = plain[0] if forced is not None else self._repaired(plain[0], error)
        return [best, *(one for one in plain if one != best)]

    def _require_nodes(self, repairs: tuple[str, ...]) -> None:
        """Refuse names of nodes to exclude that are in no graph."""
        models = (self.calibration.model(), self.calibration.model(repairs))
        known = {key for model in models for key in node_keys(model).values()}
        for name in self.excluded:
            if name not in known:
                near = get_close_matches(name, known, n=3, cutoff=0.5)
                raise UsageError(
                    f"The graph has no operation {name!r} to keep in float.",
                    hint=f"Did you mean {', '.join(near)}?" if near else "edgeai doctor MODEL --data D names them.",
                )

    def _repaired(self, best: Variant, error: OutputError) -> Variant:
        """Return the variant with those repairs and choices that help, one after the other."""
        for name in (*GRAPH_REPAIRS, *CHOICES, *CHEAP):
            if best.error < NEGLIGIBLE:
                break
            if name in best.repairs or name in WRITE_OUT.get(self.format, ()):
                continue
            tried = self._with_choice(best, name) if name in CHOICES else replace(best, repairs=(*best.repairs, name))
            if tried.excluded == best.excluded and name in CHOICES:
                continue
            if name in GRAPH_REPAIRS and not self.calibration.changes(tried.graph_repairs):
                continue
            try:
                tried = self._rated(tried, error)
            except NoEffectError:
                continue
            if tried.error < WORTH * best.error or (name == "split_outputs" and self._joins_unlike(tried)):
                best = tried
        return best

    def _joins_unlike(self, variant: Variant) -> bool:
        """Whether splitting only pays together with keeping the concatenation in float, which is tried later."""
        return self._with_choice(variant, "unlike_concats").excluded != variant.excluded

    def _with_choice(self, variant: Variant, name: str) -> Variant:
        repairs = variant.graph_repairs
        return variant.without(CHOICES[name](self.calibration.model(repairs), self.calibration.ranges(repairs)))

    def _rated(self, variant: Variant, error: OutputError) -> Variant:
        repairs = variant.graph_repairs
        params = variant.quantize_params(self.scheme)
        quantized = quantize(self.calibration.model(repairs), self.calibration, repairs, params)
        return replace(variant, error=error.of(quantized))
