"""Bytes of a `.tflite` file ↔ the schema's object tree."""

from __future__ import annotations

import struct
from typing import Any

import numpy as np

from edgeai_converters.emit.tflite.schema import load_schema, operator_name
from edgeai_runtime.errors import ModelError

IDENTIFIER = b"TFL3"
_ALIGNMENT = 16
_UNREADABLE = (
    struct.error,
    IndexError,
    ValueError,
    TypeError,
    AttributeError,
    OverflowError,
    MemoryError,
    RecursionError,
)


def read_model(content: bytes, *, where: str = "the file") -> Any:
    """Parse a TFLite file into a `ModelT` whose indices all point at something.

    Args:
        content: the whole file.
        where: what to call it in errors.

    Raises:
        ModelError: empty, truncated, foreign or inconsistent content.
    """
    if len(content) < 8 or content[4:8] != IDENTIFIER:
        found = "it is empty" if not content else f"bytes 4 to 8 are {content[4:8]!r}, not {IDENTIFIER!r}"
        raise ModelError(
            f"{where} is not a TFLite model: {found}.", hint="Check the path and that the file is complete."
        )
    try:
        model = load_schema().ModelT.InitFromPackedBuf(content, 0)
        problem = _find_problem(model, len(content))
    except _UNREADABLE as error:
        raise ModelError(
            f"{where} is a damaged TFLite model: {type(error).__name__} while reading its {len(content)} bytes.",
            hint="The file is probably truncated; copy or download it again.",
        ) from error
    if problem:
        raise ModelError(f"{where} is a damaged TFLite model: {problem}.", hint="Copy or download it again.")
    return model


def _find_problem(model: Any, size_bytes: int) -> str:
    if not model.subgraphs:
        return "it has no subgraph"
    if not model.buffers:
        return "it has no buffers"
    codes = len(model.operatorCodes or [])
    for graph in model.subgraphs:
        tensors = graph.tensors or []
        for tensor in tensors:
            if not 0 <= tensor.buffer < len(model.buffers):
                return f"tensor {_text(tensor.name)!r} points at buffer {tensor.buffer} of {len(model.buffers)}"
        for position, operator in enumerate(graph.operators or []):
            if not 0 <= operator.opcodeIndex < codes:
                return f"operator {position} points at operator code {operator.opcodeIndex} of {codes}"
            for index in [*_indices(operator.inputs), *_indices(operator.outputs)]:
                if not -1 <= index < len(tensors):
                    return f"operator {position} points at tensor {index} of {len(tensors)}"
        for index in [*_indices(graph.inputs), *_indices(graph.outputs)]:
            if not 0 <= index < len(tensors):
                return f"the boundary points at tensor {index} of {len(tensors)}"
    for number, buffer in enumerate(model.buffers):
        # Files over 2 GB keep constants behind the flatbuffer; offsets 0 and 1 mean "inside".
        if buffer.offset > 1 and buffer.offset + buffer.size > size_bytes:
            return f"buffer {number} ends at byte {buffer.offset + buffer.size} of {size_bytes}"
    return ""


def _indices(vector: Any) -> list[int]:
    return [] if vector is None else [int(index) for index in vector]


def _text(name: bytes | str | None) -> str:
    return name.decode("utf-8", "replace") if isinstance(name, bytes) else name or ""


def write_model(model: Any) -> bytes:
    """Pack a `ModelT` into the bytes of a `.tflite` file, every buffer aligned to 16 bytes.

    The generated `Pack` aligns a buffer to its element size of 1 although the schema asks for 16, which engines on
    ARM and microcontrollers rely on when they map the file. Changes nothing in `model`.
    """
    import flatbuffers

    builder = flatbuffers.Builder(sum(_buffer_size(buffer) for buffer in model.buffers) + 65536)
    plain = model.buffers
    model.buffers = [_aligned_buffer(buffer) for buffer in plain]
    try:
        builder.Finish(model.Pack(builder), file_identifier=IDENTIFIER)
    finally:
        model.buffers = plain
    return bytes(builder.Output())


def _buffer_size(buffer: Any) -> int:
    return 0 if buffer.data is None else len(buffer.data)


def _aligned_buffer(buffer: Any) -> Any:
    schema = load_schema()

    class AlignedBuffer(schema.BufferT):  # type: ignore[misc, name-defined]  # the schema is loaded when needed
        """A buffer whose bytes start at a multiple of 16."""

        def Pack(self, builder: Any) -> Any:
            data = None
            if self.data is not None and len(self.data):
                content = np.ascontiguousarray(self.data, dtype=np.uint8).tobytes()
                builder.StartVector(1, len(content), _ALIGNMENT)
                head = builder.Head() - len(content)
                builder.head = head
                builder.Bytes[head : head + len(content)] = content
                data = builder.EndVector()
            schema.BufferStart(builder)
            if data is not None:
                schema.BufferAddData(builder, data)
            return schema.BufferEnd(builder)

    return AlignedBuffer(data=buffer.data)


def code_name(code: Any) -> str:
    """Return the name of an operator code; the custom code for custom operators.

    Old files keep the number only in the deprecated field, new ones may keep 127 there: the larger one counts.
    """
    if code.customCode:
        return _text(code.customCode)
    return operator_name(max(code.builtinCode, code.deprecatedBuiltinCode))
