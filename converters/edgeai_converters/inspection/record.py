"""What an inspection gives back, and how the parts of it are put together from the heavy operations."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any, Literal

from edgeai_converters.graph.boundary import LAYOUT_PREFIX
from edgeai_runtime.manifest import Precision, TensorSpec

MIXED = "mixed"


@dataclass(frozen=True, kw_only=True)
class HeavyOperation:
    """One operation that multiplies and accumulates (convolution, matrix product, recurrence).

    Attributes:
        name: its name in the file, for notes.
        op_type: its type in the words of the format.
        macs: multiply-accumulates of one run; `None` when a shape is not known.
        precision: how it computes: `int8` (weights and activations), `dynamic_int8` (int8 weights, float
            activations), `float16` (stored so), `float32`.
    """

    name: str
    op_type: str
    macs: int | None
    precision: Precision


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What is in a model file or bundle.

    Attributes:
        format: `tflite`, `onnx`, `openvino`, or `bundle`.
        inputs: inputs in order; a free dimension is `None`.
        outputs: outputs in order.
        operators: how often each operator occurs, most frequent first, in the words of the format.
        parameters: number of trained values, whatever their type; scales and zero points are not counted.
        macs: multiply-accumulates for batch 1; `None` when a shape is not known.
        size_bytes: all files together.
        precision: how the heavy operations compute, `mixed` when not all alike.
        precision_mix: per precision, its share of the MACs (of the operations where MACs are unknown).
        notes: what a user should know.
        metadata: what the file says of itself (author, version, …), as text.
        id: the variant's id, for a variant of a bundle.
        declared_precision: what the bundle says of the variant.
        variants: for a bundle, one inspection per variant, best first; the fields above are then the best one's, but
            `size_bytes`, which is the bundle's.
        macs_by_operation: `macs` by the names under which the format's engine reports where its operations run; empty
            where any is unknown or not counted, or has no name of its own. Not in the document.
    """

    format: Literal["tflite", "onnx", "openvino", "bundle"]
    inputs: tuple[TensorSpec, ...]
    outputs: tuple[TensorSpec, ...]
    operators: dict[str, int]
    parameters: int
    macs: int | None
    size_bytes: int
    precision: str
    precision_mix: dict[str, float] = field(default_factory=dict)
    notes: tuple[str, ...] = ()
    metadata: dict[str, str] = field(default_factory=dict)
    id: str | None = None
    declared_precision: str | None = None
    variants: tuple[Inspection, ...] = ()
    macs_by_operation: dict[str, int] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Return the documented keys; `id`, `declared_precision` and `variants` only where they apply."""
        document = asdict(self)
        for key in ("inputs", "outputs"):
            document[key] = [{**tensor, "shape": list(tensor["shape"])} for tensor in document[key]]
        document["notes"] = list(self.notes)
        del document["variants"], document["macs_by_operation"]
        if self.variants:
            document["variants"] = [variant.to_json() for variant in self.variants]
        for key in ("id", "declared_precision"):
            if document[key] is None:
                del document[key]
        return document


def with_metadata(inspection: Inspection, properties: Mapping[str, str]) -> Inspection:
    """Return the inspection with what the file says of itself; layouts that it notes go to its inputs and outputs."""

    def told(spec: TensorSpec) -> TensorSpec:
        return spec if spec.layout else replace(spec, layout=properties.get(LAYOUT_PREFIX + spec.name))

    return replace(
        inspection,
        inputs=tuple(told(spec) for spec in inspection.inputs),
        outputs=tuple(told(spec) for spec in inspection.outputs),
        metadata={key: text for key, text in sorted(properties.items()) if not key.startswith(LAYOUT_PREFIX)},
    )


def count_operators(names: Iterable[str]) -> dict[str, int]:
    """Count names, most frequent first, then by name."""
    return dict(sorted(Counter(names).items(), key=lambda item: (-item[1], item[0])))


def total_macs(heavy: Sequence[HeavyOperation]) -> int | None:
    """Return the sum, or `None` when any is unknown: a sum that leaves something out would mislead."""
    known = [operation.macs for operation in heavy if operation.macs is not None]
    return sum(known) if len(known) == len(heavy) else None


def macs_by_name(heavy: Sequence[HeavyOperation], names: Sequence[str]) -> dict[str, int]:
    """Return the MACs of `heavy` by name; nothing where any is unknown, or names are missing or not unique."""
    known = {name: one.macs for name, one in zip(names, heavy, strict=True) if name and one.macs is not None}
    return known if len(known) == len(heavy) else {}


def mix_precisions(heavy: Sequence[HeavyOperation]) -> tuple[str, dict[str, float]]:
    """Return the word for the whole (`mixed` when not all alike, `float32` when nothing is heavy) and the shares."""
    by_macs = bool(total_macs(heavy))
    weights: Counter[str] = Counter()
    for operation in heavy:
        weights[operation.precision] += (operation.macs or 0) if by_macs else 1
    total = sum(weights.values())
    if not total:
        return "float32", {}
    shares = {name: weight / total for name, weight in weights.most_common()}
    return (next(iter(shares)) if len(shares) == 1 else MIXED), shares


def unknown_macs_note(heavy: Sequence[HeavyOperation]) -> tuple[str, ...]:
    """Return a note naming the first operation whose MACs are unknown, or nothing."""
    unknown = [operation for operation in heavy if operation.macs is None]
    if not unknown:
        return ()
    first = f"{unknown[0].op_type} {unknown[0].name!r}"
    return (f"MACs are unknown: {len(unknown)} operation(s) with free or unknown shapes, the first is {first}.",)
