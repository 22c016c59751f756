"""What OpenVINO compiled of one artifact: a model per set of input shapes, each with a request and its memory.

Static shapes are faster than free ones and their memory is flat, so a free dimension is compiled for size by size; the
last few are kept.
"""

from __future__ import annotations

import copy
import functools
from collections import OrderedDict
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from edgeai_runtime.engines.captured_log import capture_log
from edgeai_runtime.engines.openvino_library import core, device_name, direct_infer, import_openvino, read_model
from edgeai_runtime.record import dataclass

_KEPT_SHAPES = 4

Shapes = tuple[tuple[int, ...], ...]


@dataclass(frozen=True, kw_only=True)
class Compiled:
    """The model compiled for one set of shapes, with views on its input and output memory (static outputs only)."""

    model: Any
    request: Any
    infer: Callable[[], object]
    inputs: list[Any]
    outputs: list[Any] | None
    blob: Any = None


class CompiledModels:
    """The compiled models of the artifact `path` on a device.

    Attributes:
        device: OpenVINO's word for it.
        has_state: whether the model keeps variables from run to run; known once something is compiled.
    """

    def __init__(self, path: Path, delegate: str, properties: Mapping[str, str]) -> None:
        self.has_state = False
        self._path, self._delegate, self._properties = path, delegate, properties
        self._by_shapes: OrderedDict[Shapes, Compiled] = OrderedDict()
        self._refused: set[Shapes] = set()

    @functools.cached_property
    def source(self) -> Any:
        """The model as it was read; with a compiled one, only when something else than that is asked for.

        Raises:
            ModelError: OpenVINO cannot read it.
        """
        return read_model(self._path)

    @functools.cached_property
    def device(self) -> str:
        return device_name(self._delegate, self._properties)

    def another(self) -> CompiledModels:
        """Return the same for another thread, with nothing compiled."""
        other = copy.copy(self)
        other._by_shapes, other._refused = OrderedDict(), set()
        return other

    def compile(self, shapes: Shapes | None) -> Compiled:
        """Compile for these shapes of the inputs and keep that; `None`: as the model is."""
        model = self.source
        if shapes is not None and model.is_dynamic():
            model = model.clone()
            partial_shape = import_openvino().PartialShape
            model.reshape({port: partial_shape(list(shape)) for port, shape in zip(model.inputs, shapes, strict=False)})
        return self.keep(shapes, core().compile_model(model, self.device, self._properties))

    def read_compiled(self, shapes: Shapes | None, content: Any) -> Compiled:
        """Take what was exported (an array of its bytes, which is not copied) as compiled for these shapes."""
        blob = import_openvino().Tensor(content, shared_memory=True)
        return self.keep(shapes, core().import_model(blob, self.device, self._properties), blob)

    def keep(self, shapes: Shapes | None, compiled: Any, blob: Any = None) -> Compiled:
        """Keep a request of a compiled model, with views on its memory where the shapes are known."""
        request = compiled.create_infer_request()
        self.has_state = bool(request.query_state())
        inputs, outputs = [], None
        if shapes is not None:
            inputs = [request.get_input_tensor(index).data for index in range(len(compiled.inputs))]
            if all(port.get_partial_shape().is_static for port in compiled.outputs):
                outputs = [request.get_output_tensor(index).data for index in range(len(compiled.outputs))]
        infer = direct_infer(request)
        entry = Compiled(model=compiled, request=request, infer=infer, inputs=inputs, outputs=outputs, blob=blob)
        if shapes is not None:
            self._by_shapes[shapes] = entry
            while len(self._by_shapes) > _KEPT_SHAPES:
                self._by_shapes.popitem(last=False)
        return entry

    def find(self, shapes: Shapes) -> Compiled | None:
        """Return what is compiled for these shapes, now if it was not; `None` where they cannot be."""
        if shapes in self._refused:
            return None
        entry = self._by_shapes.get(shapes)
        if entry is not None:
            self._by_shapes.move_to_end(shapes)
            return entry
        try:
            with capture_log():
                return self.compile(shapes)
        except RuntimeError:
            self._refused.add(shapes)  # the batch is baked in, whatever the input's shape says
            return None

    def kept(self) -> list[Compiled]:
        """Return what is compiled for known shapes."""
        return list(self._by_shapes.values())

    def close(self) -> None:
        """Drop every compiled model."""
        self._by_shapes.clear()
        self.__dict__.pop("source", None)
