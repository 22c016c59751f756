"""`--to c`: a model for TensorFlow Lite Micro as sources that are built into a program.

digits_model.h/.c       the model as a constant array; sizes, arena, scales, labels
digits_operators.h      the resolver with the model's operators and no others
digits_preprocess.h/.c  from raw samples to the model's inputs; of a bundle
digits_postprocess.h/.c from the model's outputs to results; of a bundle
digits_golden.h/.c      recorded samples, where the bundle has some
digits_steps_test.c     holds the steps against what the runtime made of the recorded samples
digits_main.cc          an example: sets up the interpreter, runs the recorded samples, says whether they agree
digits_README.md        what is there, what it takes, what is left to the program
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Any

from edgeai.exporting.c_around import Around, write_around
from edgeai.exporting.c_golden import c_golden
from edgeai.exporting.c_operations import in_words
from edgeai.exporting.c_tensors import CTensor, c_tensor
from edgeai.exporting.golden import read_golden
from edgeai.exporting.made import Made
from edgeai.exporting.rendering import comment, fill_template
from edgeai.exporting.subject import Subject
from edgeai.exporting.table import Target
from edgeai.exporting.tflm_arena import MARGIN, plan_micro_arena
from edgeai.exporting.tflm_operators import resolver_methods, shape_problem
from edgeai_converters.facts.tflite import read_tflite_facts
from edgeai_devices.operator_facts import ModelFacts
from edgeai_devices.profile import Profile
from edgeai_runtime.errors import ModelError
from edgeai_runtime.manifest import TensorSpec

GOLDEN_BYTES = 8192
"""Most flash that recorded samples may take, beyond the first."""

_PER_ROW = 16
_KIB = 1024
_NEED_VARIABLES = {"VAR_HANDLE", "READ_VARIABLE", "ASSIGN_VARIABLE"}


def make_c(subject: Subject, target: Target) -> Made:
    """Return the sources.

    Raises:
        ModelError: an operator, a precision or a shape that TensorFlow Lite Micro has nothing for.
    """
    facts = read_tflite_facts(subject.path)
    free = shape_problem(facts)
    if free:
        raise ModelError(
            f"{subject.came_from} has free dimensions ({free}); a microcontroller's memory is planned before it runs.",
            hint="edgeai convert MODEL --to tflite --shape NAME=SIZES",
        )
    methods = resolver_methods(facts)
    arena = plan_micro_arena(subject.content, facts, target.profile)
    inputs, outputs = _in_order(subject.own_inputs), _in_order(subject.own_outputs)
    golden = read_golden(subject, most_bytes=GOLDEN_BYTES, with_raw=True)
    stem = "_".join(subject.words)
    around = write_around(subject, stem, golden)
    values: dict[str, Any] = {
        "stem": stem,
        "macro": stem.upper(),
        "type": "".join(word.capitalize() for word in subject.words),
        "origin": comment(subject.origin),
        "size": len(subject.content),
        "arena": arena,
        "margin_percent": round(100 * MARGIN),
        "inputs": inputs,
        "outputs": outputs,
        "labels": subject.labels,
        "steps": [*_steps("before", subject.preprocessing), *_steps("after", subject.postprocessing)],
        "methods": methods,
        "around": around,
        "golden": c_golden(subject, golden, outputs, around.before, around.after) if golden is not None else None,
    }
    files: dict[str, str | bytes] = {
        f"{stem}_model.h": fill_template("c_model.h.j2", **values),
        f"{stem}_model.c": fill_template("c_model.c.j2", rows=c_bytes(subject.content), **values),
        f"{stem}_operators.h": fill_template("c_operators.h.j2", **values),
        f"{stem}_main.cc": fill_template("c_main.cc.j2", **values),
    }
    for role, steps in (("preprocess", around.before), ("postprocess", around.after)):
        for suffix in ("h", "c") if steps else ():
            files[f"{stem}_{role}.{suffix}"] = fill_template(
                f"c_steps.{suffix}.j2",
                **{**values, "steps": steps, "before": steps is around.before, "needs": around.needs(steps)},
            )
    if golden is not None:
        files[f"{stem}_steps_test.c"] = fill_template("c_steps_test.c.j2", **values)
        files[f"{stem}_golden.h"] = fill_template("c_golden.h.j2", **values)
        files[f"{stem}_golden.c"] = fill_template("c_golden.c.j2", **values)
    notes = [*around.left_out, *_notes(subject, facts, target.profile, arena.total, around, golden is not None)]
    files[f"{stem}_README.md"] = fill_template("c_readme.md.j2", notes=notes, **values)
    return Made(
        files=files,
        notes=tuple(notes),
        facts={
            "variant": subject.variant.id if subject.variant is not None else None,
            "precision": subject.precision,
            "model_bytes": len(subject.content),
            "model_sha256": subject.sha256,
            "arena_bytes": arena.total,
            "arena": {
                "tensors": arena.tensors,
                "scratch": arena.scratch,
                "records": arena.records,
                "margin": arena.margin,
                "kernels": arena.kernels,
            },
            "steps": {
                "flash_bytes": around.flash_bytes,
                "ram_bytes": around.ram_bytes,
                "raw_bytes": around.raw_bytes,
                "left_out": list(around.left_out),
            },
            "flash_bytes": len(subject.content) + around.flash_bytes,
            "ram_bytes": arena.total + around.ram_bytes,
            "operators": list(methods),
            "golden_samples": golden.n if golden is not None else 0,
        },
    )


def c_bytes(content: bytes) -> str:
    """Return bytes as rows of an initializer."""
    text = content.hex(",").replace(",", ",0x")
    width = 5 * _PER_ROW
    whole = f"0x{text}," if content else ""
    return "\n".join("    " + whole[at : at + width] for at in range(0, len(whole), width))


def _in_order(specs: Sequence[TensorSpec]) -> tuple[CTensor, ...]:
    return tuple(c_tensor(spec, index) for index, spec in enumerate(specs))


def _steps(when: str, steps: Any) -> list[str]:
    """Return the steps in words for a comment: `before x: scale factor=0.0625`."""
    return [
        comment(f"{when} {name}: " + "; ".join(in_words(step) for step in each)) for name, each in steps.items() if each
    ]


def _notes(
    subject: Subject, facts: ModelFacts, profile: Profile | None, arena_bytes: int, around: Around, has_golden: bool
) -> list[str]:
    notes = []
    if facts.only_batch_is_free:
        notes.append("The batch is free in the model; on a microcontroller it is 1.")
    if not has_golden:
        notes.append("No recorded samples: the example runs zeros and cannot tell whether the answers are right.")
    if any(operator.name in _NEED_VARIABLES for operator in facts.operators):
        notes.append("The model has variables: give the interpreter MicroResourceVariables.")
    if any(re.match(r"uint8$", spec.dtype) for spec in (*subject.own_inputs, *subject.own_outputs)):
        notes.append("Inputs or outputs are uint8; few kernels of TensorFlow Lite Micro take that, int8 is safer.")
    if profile is not None:
        memory = profile.memory
        for what, needs, has in (
            ("flash", len(subject.content) + around.flash_bytes, memory.flash_kib),
            ("SRAM", arena_bytes + around.ram_bytes, memory.sram_kib),
        ):
            if has is not None and needs > has * _KIB:
                notes.append(
                    f"Too large for {profile.name}: needs {needs} bytes of {what}, of which there are {has} KiB."
                )
    return notes
