"""What the wrappers for Android and iOS are filled with: names, types, calls, and the recorded samples as one file."""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, field, replace
from math import prod
from typing import Any

import numpy as np

from edgeai.exporting.app_steps import Argument, Call, Calls, translate_steps
from edgeai.exporting.golden import Golden, read_golden
from edgeai.exporting.subject import Subject
from edgeai_runtime.errors import ModelError
from edgeai_runtime.manifest import Quantization, TensorSpec

GOLDEN_BYTES = 4_000_000
"""Most bytes of recorded samples in an app, beyond the first sample."""

STORED = {"float32", "int8", "uint8", "int16", "int32", "int64", "bool"}
"""Types that the wrappers write into and read from the engine's memory."""

LIMITS = {"int8": (-128, 127), "uint8": (0, 255), "int16": (-32768, 32767)}


@dataclass(frozen=True, kw_only=True)
class AppTensor:
    """One input or output of the wrapper.

    Attributes:
        name: in the file; for comments.
        word: the name as an identifier.
        shape: with a batch of 1; an input's as the graph has it, an output's as the artifact has it.
        stored: the type in the engine's memory.
        quantization: how real numbers are stored there, if they are.
        calls: what is done before or after the model.
        reorder: between the graph's layout and the artifact's: after the calls of an input, before those of an output.
        raw_shape: of what an app gives for an input, where recorded samples tell; else the artifact's.
        atol, rtol: how far an output may be from the recorded one.
    """

    name: str
    word: str
    shape: tuple[int, ...]
    stored: str
    calls: Calls
    raw_shape: tuple[int, ...]
    reorder: Calls = field(default_factory=Calls)
    quantization: Quantization | None = None
    atol: float = 0.0
    rtol: float = 0.0

    @property
    def size(self) -> int:
        """Elements of one sample."""
        return prod(self.shape)

    @property
    def least(self) -> int:
        """The least value that the stored type holds; only of quantized tensors."""
        return LIMITS[self.stored][0]

    @property
    def most(self) -> int:
        """The largest value that the stored type holds; only of quantized tensors."""
        return LIMITS[self.stored][1]


@dataclass(frozen=True, kw_only=True)
class AppModel:
    """All that a wrapper says.

    Attributes:
        inputs, outputs: in the order of the artifact.
        golden: float32 little-endian: per sample the inputs as an app gives them, then the outputs before
            post-processing; empty when there are no samples.
        samples: how many.
        notes: what a person should know.
    """

    inputs: tuple[AppTensor, ...]
    outputs: tuple[AppTensor, ...]
    golden: bytes
    samples: int
    notes: tuple[str, ...]


def describe_app_model(subject: Subject, *, reserved: Collection[str]) -> AppModel:
    """Return what the wrapper is filled with.

    Args:
        subject: what is exported.
        reserved: words that are no names in the language.

    Raises:
        ModelError: free dimensions other than the batch, or a type that the wrappers do not write.
    """
    golden = read_golden(subject, most_bytes=GOLDEN_BYTES)
    notes: list[str] = []
    words = _identifiers([spec.name for spec in (*subject.inputs, *subject.outputs)], reserved)
    inputs = []
    for place, (outer, own) in enumerate(zip(subject.inputs, subject.own_inputs, strict=True)):
        raw: Any = golden.inputs[place].raw if golden is not None else None
        calls = translate_steps(
            subject.preprocessing.get(outer.name, ()), dtype=str(raw.dtype) if _is_number(raw) else outer.dtype
        )
        shape = _fixed(outer, subject)
        if calls.missing:
            notes.append(f"{outer.name} is taken after its pre-processing: {calls.missing!r} is not written there.")
        described = _described(outer, own, words[place], shape, calls, _reorder(outer, own))
        is_raw = _is_number(raw) and not calls.missing
        inputs.append(_with_raw_shape(described, (1, *raw.shape[1:])) if is_raw else described)
    outputs = []
    for place, (outer, own) in enumerate(zip(subject.outputs, subject.own_outputs, strict=True)):
        calls = translate_steps(subject.postprocessing.get(outer.name, ()), dtype=outer.dtype)
        if calls.missing:
            notes.append(f"{outer.name} is given before its post-processing: {calls.missing!r} is not written there.")
        word = words[len(inputs) + place]
        shape = _fixed(own, subject)
        described = _described(outer, own, word, shape, calls, _reorder(own, outer))
        outputs.append(_with_tolerance(described, golden, place))
    if golden is None:
        notes.append("No recorded samples: there is no self-test.")
    return AppModel(
        inputs=tuple(inputs),
        outputs=tuple(outputs),
        golden=_golden_bytes(golden, inputs) if golden is not None else b"",
        samples=golden.n if golden is not None else 0,
        notes=tuple(notes),
    )


def filled(tensor: AppTensor, *, text: Callable[[Argument], str], separator: str) -> dict[str, Any]:
    """Return what a template says of a tensor: its attributes, and its calls as source text.

    Args:
        tensor: an input or output.
        text: writes an argument in the language.
        separator: between an argument's name and value.
    """
    attributes = ("name", "word", "shape", "raw_shape", "stored", "quantization", "calls", "atol", "rtol", "size")
    found = {name: getattr(tensor, name) for name in attributes}
    if tensor.quantization is not None:
        found |= {"least": tensor.least, "most": tensor.most}
    steps = in_calls(tensor.calls, text, separator)
    reorder = in_calls(tensor.reorder, text, separator)
    return {**found, "before": steps + reorder, "after": steps, "reordered": reorder}


def in_calls(calls: Calls, text: Callable[[Argument], str], separator: str) -> str:
    """Return the calls as source text: `.scale(factor = 2.0f, offset = 0.0f)`."""
    parts = []
    for call in calls.calls:
        arguments = ", ".join(f"{name}{separator}{text(value)}" for name, value in call.arguments.items())
        parts.append(f".{call.method}({arguments})")
    return "".join(parts)


def camel(words: Sequence[str]) -> str:
    """Return `MyModel` for `my`, `model`."""
    return "".join(word[:1].upper() + word[1:] for word in words)


def _described(
    outer: TensorSpec, own: TensorSpec, word: str, shape: tuple[int, ...], calls: Calls, reorder: Calls
) -> AppTensor:
    if own.dtype not in STORED:
        raise ModelError(f"The tensor {own.name!r} is {own.dtype}, which the wrapper does not write.")
    quantized = own.quantization if own.dtype in LIMITS and outer.dtype.startswith("float") else None
    return AppTensor(
        name=outer.name,
        word=word,
        shape=shape,
        stored=own.dtype,
        calls=calls,
        raw_shape=shape,
        reorder=reorder,
        quantization=quantized,
    )


def _reorder(source: TensorSpec, target: TensorSpec) -> Calls:
    have, want = source.layout, target.layout
    if not have or not want or have == want:
        return Calls()
    order = tuple(have.index(letter) for letter in want)
    return Calls(calls=(Call(method="permute", arguments={"order": order}),))


def _with_raw_shape(tensor: AppTensor, shape: tuple[int, ...]) -> AppTensor:
    return replace(tensor, raw_shape=tuple(int(size) for size in shape))


def _with_tolerance(tensor: AppTensor, golden: Golden | None, place: int) -> AppTensor:
    if golden is None:
        return tensor
    step = tensor.quantization.scale / 2 if tensor.quantization is not None else 0.0
    stated = golden.outputs[place].tolerance
    return replace(tensor, atol=stated.atol + step, rtol=stated.rtol)


def _golden_bytes(golden: Golden, inputs: Sequence[AppTensor]) -> bytes:
    parts = []
    for sample in range(golden.n):
        for tensor, each in zip(inputs, golden.inputs, strict=True):
            taken = each.raw if _is_number(each.raw) and not tensor.calls.missing else each.prepared
            parts.append(np.asarray(taken[sample], "<f4").tobytes())
        parts += [np.asarray(each.real[sample], "<f4").tobytes() for each in golden.outputs]
    return b"".join(parts)


def _fixed(spec: TensorSpec, subject: Subject) -> tuple[int, ...]:
    if any(size is None for size in spec.shape[1:]):
        raise ModelError(
            f"{subject.came_from}: {spec.name} has free dimensions {spec.shape}; the wrapper takes one shape.",
            hint="edgeai convert MODEL --to tflite --shape NAME=SIZES",
        )
    return tuple(1 if size is None else size for size in spec.shape)


def _is_number(array: Any) -> bool:
    return array is not None and array.dtype.kind in "biuf"


def _identifiers(names: Sequence[str], reserved: Collection[str]) -> list[str]:
    """Return names as different identifiers in lower camel case: `serving/logits:0` → `servingLogits0`."""
    found: list[str] = []
    for name in names:
        words = [word for word in re.split(r"[^A-Za-z0-9]+", name) if word] or ["tensor"]
        word = words[0][:1].lower() + words[0][1:] + camel(words[1:])
        word = f"tensor{word}" if word[0].isdigit() else word
        while word in reserved or word in found:
            word += "_" if word in reserved else "2"
        found.append(word)
    return found
