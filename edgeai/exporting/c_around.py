"""The steps of a bundle around the model in C: which are written, what they take, what is left to the program."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from edgeai.exporting.c_postprocess import write_output
from edgeai.exporting.c_preprocess import write_input
from edgeai.exporting.c_steps import CSteps
from edgeai.exporting.golden import Golden
from edgeai.exporting.subject import Subject


@dataclass(frozen=True, kw_only=True)
class Around:
    """What is done before the model and after it; both empty for a bare model, which has no steps."""

    before: tuple[CSteps, ...] = ()
    after: tuple[CSteps, ...] = ()

    @property
    def flash_bytes(self) -> int:
        """Of all tables."""
        return sum(each.flash_bytes for each in (*self.before, *self.after))

    @property
    def ram_bytes(self) -> int:
        """Of all static variables."""
        return sum(each.ram_bytes for each in (*self.before, *self.after))

    @property
    def raw_bytes(self) -> int:
        """What the program keeps itself: one raw sample and one result of each."""
        return sum(each.kept_bytes for each in (*self.before, *self.after) if not each.left_out)

    @property
    def test_bytes(self) -> int:
        """Memory that the test of the steps takes: what any one of them writes."""
        return max(8, *(each.made_bytes for each in (*self.before, *self.after)), 0)

    @property
    def left_out(self) -> tuple[str, ...]:
        """What the program has to do itself, a sentence each."""
        said = [("pre", each) for each in self.before] + [("post", each) for each in self.after]
        return tuple(
            f"The {when}-processing of {each.name} is NOT written, the program has to do it: {each.left_out}."
            for when, each in said
            if each.left_out
        )

    def needs(self, steps: tuple[CSteps, ...]) -> frozenset[str]:
        """Return the functions that a file of these steps begins with."""
        return frozenset[str]().union(*(each.needs for each in steps))


def write_around(subject: Subject, stem: str, golden: Golden | None) -> Around:
    """Write the steps of a bundle in C.

    Args:
        subject: what is exported.
        stem: begins the names of the model's header.
        golden: recorded samples, which say what raw data are.
    """
    if subject.bundle is None:
        return Around()
    before = []
    for index, (outer, own) in enumerate(zip(subject.inputs, subject.own_inputs, strict=True)):
        raw: Any = golden.inputs[index].raw if golden is not None else None
        before.append(write_input(stem, index, outer, own, subject.preprocessing.get(outer.name, ()), raw))
    after = [
        write_output(stem, index, own, outer, subject.postprocessing.get(outer.name, ()))
        for index, (outer, own) in enumerate(zip(subject.outputs, subject.own_outputs, strict=True))
    ]
    return Around(before=tuple(before), after=tuple(after))
