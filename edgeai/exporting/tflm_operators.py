"""The operators of a model in the words of TensorFlow Lite Micro's resolver: `CONV_2D` → `AddConv2D`.

A resolver that lists them links these kernels and no others, which is most of the flash that can be saved. The names
follow `tensorflow/lite/micro/micro_mutable_op_resolver.h`: the operator's words with capitals, but for a few.
"""

from __future__ import annotations

from collections.abc import Sequence

from edgeai_devices.catalog import read_all_rules
from edgeai_devices.operator_facts import ModelFacts
from edgeai_devices.profile_rules import Rules
from edgeai_runtime.errors import ModelError

_WORDS = {"2D": "2D", "CUMSUM": "CumSum", "LSTM": "LSTM", "MATMUL": "MatMul", "PADV2": "PadV2"}
"""Words of operators that the resolver does not write with one capital."""

_CUSTOM = {"ethos-u": "AddEthosU", "TFLite_Detection_PostProcess": "AddDetectionPostprocess"}
"""Operators of others that it has methods for."""

_RULES = "tflite-micro"


def resolver_methods(facts: ModelFacts) -> tuple[str, ...]:
    """Return the methods to call on a `MicroMutableOpResolver`, each once, sorted.

    Raises:
        ModelError: an operator that has no kernel there; names all of them.

    Example:
        >>> from edgeai_devices.operator_facts import OperatorFacts
        >>> conv = OperatorFacts(name="CONV_2D", label="y", precision="int8")
        >>> resolver_methods(ModelFacts(format="tflite", operators=(conv,), size_bytes=1))
        ('AddConv2D',)
    """
    names = sorted({operator.name for operator in facts.operators})
    rules = micro_rules()
    missing = [name for name in names if name not in _CUSTOM and not _has_kernel(name, rules)]
    if missing:
        labels = [operator.label for operator in facts.operators if operator.name in missing]
        raise ModelError(
            f"TensorFlow Lite Micro has no kernel for {', '.join(missing)} (at {', '.join(labels[:3])}).",
            hint="Replace it in the model, or keep that part of the computation in the program.",
        )
    return tuple(sorted({method_of(name) for name in names}))


def method_of(operator: str) -> str:
    """Return the resolver's method for an operator: `RESIZE_NEAREST_NEIGHBOR` → `AddResizeNearestNeighbor`."""
    if operator in _CUSTOM:
        return _CUSTOM[operator]
    return "Add" + "".join(_WORDS.get(word, word.capitalize()) for word in operator.split("_"))


def micro_rules() -> Rules:
    """Return what TensorFlow Lite Micro can take."""
    return next(rules for rules in read_all_rules() if rules.id == _RULES)


def shape_problem(facts: ModelFacts) -> str:
    """Return which inputs have free dimensions other than the batch, which is taken as 1; empty when none has."""
    return "" if not facts.free or facts.only_batch_is_free else ", ".join(facts.free)


def _has_kernel(name: str, rules: Rules) -> bool:
    allowed: Sequence[str] | None = rules.allowed
    return (allowed is None or name in allowed) and name not in rules.denied
