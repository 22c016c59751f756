"""The second format of a file starts from the graph that was read for the first."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

import edgeai
import edgeai_converters.convert.kept_import as kept_import


@pytest.mark.openvino
def test_the_second_format_of_a_file_is_written_without_reading_it_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    openvino = pytest.importorskip("openvino")
    operations = openvino.opset13
    image = operations.parameter([1, 4], np.float32, name="image")
    model = openvino.Model([operations.relu(image).output(0)], [image], "g")
    openvino.save_model(model, tmp_path / "net.xml", compress_to_fp16=False)
    first = edgeai.convert(tmp_path / "net.xml", "onnx", out=tmp_path / "a.onnx", work=tmp_path / "work")
    monkeypatch.setattr(kept_import, "import_source", lambda *args, **kwargs: pytest.fail("read again"))
    second = edgeai.convert(tmp_path / "net.xml", "onnx", out=tmp_path / "b.onnx", work=tmp_path / "work")
    assert (first.reused, second.reused) == (False, True)
    assert second.to_json()["reused"] is True
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    assert second.route == first.route
