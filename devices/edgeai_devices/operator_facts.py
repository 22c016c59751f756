"""What a check needs to know of a model: its operators, how they compute, what limits bound, and how long tensors live.

Readers of the formats fill these in (`edgeai_converters.facts`); `fit.py` holds them against a profile.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

from edgeai_devices.profile_rules import Property
from edgeai_runtime.manifest import Format, Precision

Role = Literal["input", "output", "inner", "variable"]


@dataclass(frozen=True, kw_only=True)
class OperatorFacts:
    """One operator.

    Attributes:
        name: in the words of its format: `CONV_2D`, `Conv`, `Convolution`.
        label: the name of its first output.
        precision: how it computes; `None` where it only handles shapes and indices.
        is_heavy: it multiplies by weights; what a model's precision is told by.
        is_unsigned: its activations are uint8, as in files of the first converters.
        constant_weights: its weights are stored in the model.
        values: of each property that is known, all its values: of every input and output, or of height and width.
    """

    name: str
    label: str
    precision: Precision | None
    is_heavy: bool = False
    is_unsigned: bool = False
    constant_weights: bool = True
    values: Mapping[Property, tuple[int, ...]] = field(default_factory=dict)


@dataclass(frozen=True, kw_only=True)
class TensorLife:
    """A tensor that needs memory while the model runs.

    Attributes:
        name: unique within the model.
        size_bytes: what it takes, for batch 1 where the batch is free.
        first_step: the operator that writes it, from 0; 0 for an input.
        last_step: the last operator that reads it.
        role: inputs, outputs and variables may have to live longer: that is the engine's custom.
        same_data_as: the tensor it only gives another shape to.
        overwrites: the tensor that its operator may write it over, since nothing else reads that one.
    """

    name: str
    size_bytes: int
    first_step: int
    last_step: int
    role: Role = "inner"
    same_data_as: str | None = None
    overwrites: str | None = None


@dataclass(frozen=True, kw_only=True)
class ModelFacts:
    """What a check needs to know of one artifact.

    Attributes:
        format: of the artifact.
        operators: in the order they run.
        free: inputs with free dimensions, as `x [?, 32, 32, 3]`.
        only_batch_is_free: nothing but first dimensions is free.
        size_bytes: of all its files.
        tensors: what needs memory while it runs; empty where shapes are not known, and then `unplanned` says why.
        unplanned: why there is no plan of its memory.
        notes: what the figures leave out.
    """

    format: Format
    operators: tuple[OperatorFacts, ...]
    size_bytes: int
    free: tuple[str, ...] = ()
    only_batch_is_free: bool = False
    tensors: tuple[TensorLife, ...] = ()
    unplanned: str = ""
    notes: tuple[str, ...] = ()

    @property
    def precisions(self) -> tuple[Precision, ...]:
        """How the heavy operators compute (where there are none, all), most frequent first."""
        heavy: Sequence[OperatorFacts] = [each for each in self.operators if each.is_heavy] or self.operators
        return tuple(name for name, _ in Counter(each.precision for each in heavy if each.precision).most_common())
