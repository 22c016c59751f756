"""The files that belong to a model: an OpenVINO IR keeps its weights in one beside it, an ONNX file may."""

from __future__ import annotations

from pathlib import Path

from edgeai_converters.sources.detect import detect_source


def source_files(source: Path) -> tuple[Path, ...]:
    """Return a source (a file or folder), and those files beside it that hold its weights and are there."""
    beside = [source.with_suffix(".bin")] if source.suffix == ".xml" else []
    if source.is_file() and detect_source(source) == "onnx":
        import onnx

        named = (tensor.external_data for tensor in onnx.load(source, load_external_data=False).graph.initializer)
        places = {entry.value for entries in named for entry in entries if entry.key == "location"}
        beside = [source.parent / place for place in sorted(places)]
    return tuple(file for file in (source, *beside) if file.exists())
