"""Flash as Vela tells it: read from its summary, and no figure where it is not installed."""

from __future__ import annotations

from pathlib import Path

import onnx_ir as ir
import pytest

from edgeai_converters.prune import ethos_flash
from edgeai_converters.prune.ethos_flash import find_vela, flash_gain, read_flash
from edgeai_runtime.errors import EngineError


def test_flash_is_read_in_bytes(tmp_path: Path) -> None:
    summary = tmp_path / "model_summary_internal-default.csv"
    summary.write_text("network,off_chip_flash_memory_used,sram_memory_used\nmodel,77.5,50.6\n")
    assert read_flash(summary) == 79360


def test_another_summary_is_refused(tmp_path: Path) -> None:
    summary = tmp_path / "model_summary_internal-default.csv"
    summary.write_text("network,sram_memory_used\nmodel,50.6\n")
    with pytest.raises(EngineError, match="off_chip_flash"):
        read_flash(summary)


def test_a_compiler_on_the_path_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ethos_flash.importlib.util, "find_spec", lambda name: None)
    monkeypatch.setenv("PATH", str(tmp_path))
    assert find_vela() is None
    (tmp_path / "vela").write_text("#!/bin/sh\n")
    (tmp_path / "vela").chmod(0o755)
    assert find_vela() == [str(tmp_path / "vela")]


def test_there_is_no_figure_without_the_compiler(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ethos_flash, "find_vela", lambda: None)
    model = ir.Model(ir.Graph([], [], nodes=[], name="empty"), ir_version=10)
    assert flash_gain(model, model) is None
