"""What a model says of itself (author, layouts, …) in a `.tflite` file: one metadata buffer of JSON."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import numpy as np

from edgeai_converters.emit.tflite.schema import load_schema

NAME = "edgeai.metadata"


def add_metadata(model: Any, properties: Mapping[str, str]) -> None:
    """Add properties to a `ModelT`, in place; nothing is added when there are none."""
    if not properties:
        return
    schema = load_schema()
    entry = schema.MetadataT()
    entry.name, entry.buffer = NAME, len(model.buffers)
    content = json.dumps(dict(properties), sort_keys=True, ensure_ascii=False).encode()
    model.buffers.append(schema.BufferT(data=np.frombuffer(content, np.uint8)))
    model.metadata = [*(model.metadata or ()), entry]


def read_metadata(model: Any) -> dict[str, str]:
    """Return the properties that `add_metadata` wrote; nothing for files of other makers, or a damaged entry."""
    for entry in model.metadata or ():
        name = entry.name.decode("utf-8", "replace") if isinstance(entry.name, bytes) else entry.name
        if name != NAME or not 0 <= entry.buffer < len(model.buffers):
            continue
        data = model.buffers[entry.buffer].data
        try:
            found = json.loads(np.asarray(data, np.uint8).tobytes().decode()) if data is not None else {}
        except (ValueError, UnicodeDecodeError):
            return {}
        return {str(key): str(value) for key, value in found.items()} if isinstance(found, dict) else {}
    return {}
