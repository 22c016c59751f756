"""The teacher of a distillation: a graph or a function, asked in the student's terms.

A teacher may name its inputs and outputs otherwise, read maps in the other layout, and give probabilities where the
student gives class scores. All that is brought to the student's side here, in numpy.
"""

from __future__ import annotations

import functools
import logging
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx_ir as ir
from numpy.typing import NDArray
from scipy.special import expit, log_softmax, logit, softmax

from edgeai_converters.graph.boundary import input_specs, output_specs
from edgeai_converters.graph.execute import GraphRunner
from edgeai_converters.progress import OnStep
from edgeai_converters.require import require
from edgeai_converters.train.examples import Examples
from edgeai_converters.train.features import with_features
from edgeai_converters.train.losses import OutputKind, output_kinds
from edgeai_converters.train.ops.view import Tensor
from edgeai_converters.train.precision import lay_out, run_in
from edgeai_converters.train.twin import Twin, make_twin
from edgeai_converters.workfolder import WorkFolder
from edgeai_runtime.errors import UnsupportedOperationError, UsageError
from edgeai_runtime.manifest import TensorSpec

Arrays = Mapping[str, NDArray[Any]]
AnyTeacher = ir.Model | Callable[[Arrays], Arrays]
"""A graph, or a function from prepared inputs by the student's names to outputs `[n, …]` in the student's terms."""

_LOG = logging.getLogger(__name__)

_BATCH = 64
_SMALLEST = 1e-8
_ORDERS = ((0, 2, 3, 1), (0, 3, 1, 2))

_SCORES: tuple[OutputKind, ...] = ("logits", "values")


class Teacher:
    """A teacher in the terms of one student.

    Attributes:
        kinds: what the floating-point outputs mean on both sides, by the student's names; to be used for the loss.
    """

    def __init__(
        self,
        teacher: AnyTeacher,
        student: ir.Model,
        *,
        labels: NDArray[Any] | None = None,
        features: Mapping[str, str] | None = None,
        threads: int = 1,
    ) -> None:
        """Pair the tensors of both sides.

        Args:
            teacher: see `AnyTeacher`. A function returns features under the teacher's names for them.
            student: the graph that learns.
            labels: of the examples; class indices tell that an output holds class scores.
            features: inner values of the student → inner values of the teacher, to be returned as well.
            threads: threads inside an operation.

        Raises:
            UsageError: inputs or outputs that cannot be paired, or a feature that the teacher does not have.
        """
        self.kinds = output_kinds(student, labels)
        self._outputs = [spec.name for spec in output_specs(student)]
        self._shapes = {spec.name: spec.shape for spec in output_specs(student)}
        self._features = dict(features or {})
        self._convert: dict[str, Callable[[NDArray[Any]], NDArray[Any]]] = {}
        self._model: ir.Model | None = None
        if not isinstance(teacher, ir.Model):
            self._run, self._names = teacher, None
            return
        names = [spec.name for spec in output_specs(teacher)]
        self._names = _pair(self._outputs, names, what="output")
        self._inputs = inputs = _pair_inputs(input_specs(student), input_specs(teacher))
        self._model = with_features(teacher, dict.fromkeys(self._features.values(), ""))
        runner = GraphRunner(teacher, outputs=[*names, *self._features.values()], threads=threads)
        self._run = lambda arrays: runner.run({name: _turn(arrays[one], turn) for name, one, turn in inputs})
        kinds = output_kinds(teacher, labels)
        for name, kind in dict(self.kinds).items():
            self.kinds[name], convert = _common_terms(kind, kinds.get(self._names[name], "values"))
            if convert is not None:
                self._convert[name] = convert

    def __call__(self, inputs: Arrays) -> dict[str, NDArray[Any]]:
        """Return outputs, then features, `[n, …]`, by the student's names, for prepared inputs of the student.

        Raises:
            UsageError: an output that has another shape than the student's, or is missing.
        """
        return self._in_terms(self._run(inputs))

    def on_device(self, device: str, precision: str) -> Callable[[Mapping[str, Tensor]], dict[str, Tensor]]:
        """Return what answers tensors as this answers arrays: a graph as a twin, on a device and in a format.

        A function, and a graph that no twin can be made of, is asked as ever; its answers are moved.
        """
        torch = require("torch", extra="torch")
        run = self._run
        if self._model is not None:
            try:
                twin = make_twin(self._model, trained=())
            except UnsupportedOperationError as error:
                _LOG.info("the teacher runs in ONNX Runtime while training: %s", error)
            else:
                twin.to(device)
                run = functools.partial(self._run_twin, twin, device, precision)

        def answer(inputs: Mapping[str, Tensor]) -> dict[str, Tensor]:
            with torch.no_grad():
                arrays = {name: tensor.cpu().contiguous().numpy() for name, tensor in inputs.items()}
                found = self._in_terms(run(arrays))
            return {name: torch.from_numpy(np.array(array)).to(device) for name, array in found.items()}

        return answer

    def _run_twin(self, twin: Twin, device: str, precision: str, arrays: Arrays) -> Arrays:
        torch = require("torch", extra="torch")
        given = {name: _turn(arrays[one], turn) for name, one, turn in self._inputs}
        tensors = {name: lay_out(torch.from_numpy(array).to(device)) for name, array in given.items()}
        return {name: one.cpu().numpy() for name, one in run_in(precision, twin, tensors).items()}

    def _in_terms(self, found: Arrays) -> dict[str, NDArray[Any]]:
        given = [name for name in found if name in self._outputs or name not in self._features.values()]
        names = self._names or _pair(self._outputs, given, what="output")
        result = {}
        for name in self._outputs:
            array = self._in_shape(name, np.asarray(found[names[name]]))
            result[name] = self._convert[name](array).astype(array.dtype) if name in self._convert else array
        for name, theirs in self._features.items():
            if theirs not in found:
                raise UsageError(f"The teacher returned no feature {theirs!r}. Received: {', '.join(found)}")
            result[name] = np.asarray(found[theirs])
        return result

    def _in_shape(self, name: str, array: NDArray[Any]) -> NDArray[Any]:
        """Return the array in the student's shape; axes of length 1 may be elsewhere."""
        wanted = self._shapes[name][1:]
        given = array.shape[1:]
        if len(given) == len(wanted) and all(a is None or a == b for a, b in zip(wanted, given, strict=True)):
            return array
        known = [size for size in wanted if size != 1]
        if None not in wanted and known == [size for size in given if size != 1]:
            return array.reshape(len(array), *(size for size in wanted if size is not None))
        ours = ["n", *("?" if size is None else size for size in wanted)]
        raise UsageError(
            f"The teacher's output for {name!r} has shape {['n', *given]}, the student's has {ours}: the student can "
            "only learn from a teacher of the same task."
        )


def teach(
    teacher: Teacher, examples: Examples, *, folder: Path | None = None, key: str = "", on_step: OnStep | None = None
) -> dict[str, NDArray[Any]]:
    """Return the teacher's outputs and features for all examples, each computed once, `[n, …]`.

    Args:
        teacher: the teacher.
        examples: the samples, in their order.
        folder: with a key, where the arrays are kept and mapped from; else they are held in memory.
        key: digest of the teacher and the examples.
        on_step: progress.
    """
    if folder is None or not key:
        parts: dict[str, list[NDArray[Any]]] = {}
        for _, outputs in _batches(teacher, examples, on_step):
            for name, array in outputs.items():
                parts.setdefault(name, []).append(array)
        return {name: np.concatenate(arrays) for name, arrays in parts.items()}

    def make(made: Path) -> None:
        files: dict[str, Any] = {}
        for start, outputs in _batches(teacher, examples, on_step):
            for i, (name, array) in enumerate(outputs.items()):
                if name not in files:
                    shape = (len(examples), *array.shape[1:])
                    files[name] = np.lib.format.open_memmap(
                        made / f"{i}.npy", mode="w+", dtype=array.dtype, shape=shape
                    )
                files[name][start : start + len(array)] = array
        for file in files.values():
            file.flush()
        (made / "names.txt").write_text("\n".join(files), encoding="utf-8")

    kept = WorkFolder(folder, keep_days=None).step("teacher", {"key": key}, make)
    names = (kept / "names.txt").read_text(encoding="utf-8").split("\n")
    return {name: np.load(kept / f"{i}.npy", mmap_mode="r") for i, name in enumerate(names)}


def _batches(teacher: Teacher, examples: Examples, on_step: OnStep | None) -> Any:
    for start in range(0, len(examples), _BATCH):
        if on_step is not None:
            on_step(start, len(examples), "the teacher answers")
        yield start, teacher(examples.read(np.arange(start, min(start + _BATCH, len(examples)))))


def _pair(ours: Sequence[str], theirs: Sequence[str], *, what: str) -> dict[str, str]:
    """Return the student's names with the teacher's: the same ones, else those at the same place."""
    if set(ours) <= set(theirs):
        return {name: name for name in ours}
    if len(ours) != len(theirs):
        raise UsageError(
            f"The student and the teacher have different numbers of {what}s ({', '.join(ours)} against "
            f"{', '.join(theirs)}), and their names do not show which belong together."
        )
    return dict(zip(ours, theirs, strict=True))


def _pair_inputs(
    ours: Sequence[TensorSpec], theirs: Sequence[TensorSpec]
) -> list[tuple[str, str, tuple[int, ...] | None]]:
    """Return (teacher's input, student's input, permutation between their layouts) per input of the teacher."""
    names = _pair([spec.name for spec in theirs], [spec.name for spec in ours], what="input")
    by_name = {spec.name: spec for spec in ours}
    found = []
    for spec in theirs:
        given = by_name[names[spec.name]]
        orders = [None, *_ORDERS] if len(spec.shape) == 4 else [None]
        turn = next((one for one in orders if _fits(given.shape, spec.shape, one)), _NO_ORDER)
        if turn == _NO_ORDER:
            shapes = [["?" if size is None else size for size in one.shape] for one in (spec, given)]
            raise UsageError(
                f"The teacher's input {spec.name!r} has shape {shapes[0]}, the student's {given.name!r} has "
                f"{shapes[1]}: they cannot be given the same samples."
            )
        found.append((spec.name, given.name, turn))
    return found


_NO_ORDER: tuple[int, ...] = (-1,)


def _fits(given: Sequence[int | None], wanted: Sequence[int | None], order: tuple[int, ...] | None) -> bool:
    turned = given if order is None or len(given) != 4 else [given[axis] for axis in order]
    return len(turned) == len(wanted) and all(
        a is None or b is None or a == b for a, b in zip(turned[1:], wanted[1:], strict=True)
    )


def _turn(array: NDArray[Any], order: tuple[int, ...] | None) -> NDArray[Any]:
    return array if order is None else np.ascontiguousarray(array.transpose(order))


def _common_terms(
    ours: OutputKind, theirs: OutputKind
) -> tuple[OutputKind, Callable[[NDArray[Any]], NDArray[Any]] | None]:
    """Return what an output is to mean on both sides, and how the teacher's is brought to it."""
    if ours == theirs or (ours in _SCORES and theirs in _SCORES):
        return ours, None
    if ours == "probabilities":
        return ours, np.exp if theirs == "log_probabilities" else lambda array: softmax(array, axis=-1)
    if ours == "log_probabilities":
        return ours, _log if theirs == "probabilities" else lambda array: log_softmax(array, axis=-1)
    if ours == "chances":
        return ours, expit
    if theirs == "chances":
        return "values", lambda array: logit(np.clip(array, _SMALLEST, 1 - 1e-6))
    return "logits", _log if theirs == "probabilities" else None


def _log(array: NDArray[Any]) -> NDArray[Any]:
    return np.asarray(np.log(np.maximum(array, _SMALLEST)))
