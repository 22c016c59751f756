"""The model card of a variant in a CycloneDX bill of materials: what it takes and gives, and what was measured of it.

CycloneDX 1.6, `modelCard`. The library that writes the rest of the document has no words for it (up to its version 11),
so it is written here as the JSON that the schema asks for; values of metrics are text there.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

from edgeai_runtime.manifest import Certificate, Measurement, TensorSpec, Variant

Card = dict[str, Any]


def model_card(variant: Variant, *, inputs: Sequence[TensorSpec], outputs: Sequence[TensorSpec], data: str) -> Card:
    """Return the card of a variant.

    Args:
        variant: the variant; its certificate and measurements become the quantitative analysis.
        inputs: the bundle's inputs.
        outputs: the bundle's outputs.
        data: reference (`bom-ref`) of the data set component; empty when no data were used.
    """
    parameters: Card = {"inputs": _formats(inputs), "outputs": _formats(outputs)}
    if data:
        parameters["datasets"] = [{"ref": data}]
    card: Card = {"bom-ref": f"card/{variant.id}", "modelParameters": parameters}
    metrics = [*_accuracy(variant.certificate), *(one for m in variant.measurements for one in _speed(m))]
    if metrics:
        card["quantitativeAnalysis"] = {"performanceMetrics": metrics}
    if variant.certificate is not None:
        card["considerations"] = {"performanceTradeoffs": [_tradeoff(variant.certificate)]}
    return card


def _formats(specs: Iterable[TensorSpec]) -> list[Card]:
    found = []
    for spec in specs:
        shape = ", ".join("?" if size is None else str(size) for size in spec.shape)
        layout = f" {spec.layout}" if spec.layout else ""
        meaning = f": {spec.meaning}" if spec.meaning else ""
        found.append({"format": f"{spec.name} {spec.dtype} [{shape}]{layout}{meaning}"})
    return found


def _accuracy(certificate: Certificate | None) -> list[Card]:
    if certificate is None:
        return []
    slice = f"{certificate.split} split, n={certificate.n}"
    low, high = certificate.drop_ci95
    return [
        {"type": certificate.metric, "value": _text(certificate.score), "slice": slice},
        {"type": f"{certificate.metric} of the source", "value": _text(certificate.source_score), "slice": slice},
        {
            "type": f"drop of {certificate.metric}",
            "value": _text(certificate.drop),
            "slice": slice,
            "confidenceInterval": {"lowerBound": _text(low), "upperBound": _text(high)},
        },
    ]


def _speed(measured: Measurement) -> list[Card]:
    cpu = measured.machine.get("cpu", "unknown machine")
    slice = f"{measured.delegate}, {measured.threads} threads, {measured.engine_version}, {cpu}"
    low, high = measured.latency_median_ci95_ms
    return [
        {
            "type": "latency_median_ms",
            "value": _text(measured.latency_median_ms),
            "slice": slice,
            "confidenceInterval": {"lowerBound": _text(low), "upperBound": _text(high)},
        }
    ]


def _tradeoff(certificate: Certificate) -> str:
    within = f" of a budget of {certificate.max_drop:g}" if certificate.max_drop is not None else ""
    return f"drop of {certificate.metric} against its source{within}: {certificate.verdict} ({certificate.method})"


def _text(value: float) -> str:
    return f"{value:.6g}"
