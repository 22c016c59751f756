"""Flash of compiled models: no figure where Vela is not installed."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir
import pytest

from edgeai_converters.prune.ethos_flash import flash_gain, has_vela
from edgeai_devices.compilers import vela


@pytest.fixture
def empty_path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The only folder that programs are looked for in; the package is not installed."""
    monkeypatch.setattr(vela.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    return tmp_path


def test_a_compiler_on_the_path_is_found(empty_path: Path) -> None:
    assert not has_vela()
    (empty_path / "vela").write_text("#!/bin/sh\n")
    (empty_path / "vela").chmod(0o755)
    assert has_vela()


@pytest.mark.usefixtures("empty_path")
def test_there_is_no_figure_without_the_compiler() -> None:
    model = ir.Model(ir.Graph([], [], nodes=[], name="empty"), ir_version=10)
    assert flash_gain(model, model) is None
