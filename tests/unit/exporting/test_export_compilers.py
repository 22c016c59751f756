"""Words that are compilers go to their table; what it gives comes back as an export."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeai.exporting import export
from edgeai_devices.compilers.protocol import Compiled, CompileReport


@pytest.mark.parametrize("word", ["ethos-u", "vela"])
def test_a_compiler_is_asked_by_either_name(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, word: str) -> None:
    asked: dict[str, Any] = {}

    def compile_for(source: Path, **named: Any) -> Compiled:
        asked.update(named, source=source)
        report = CompileReport(compiler="vela", tool="t", version="1", target="ethos-u55-128", sram_bytes=7)
        return Compiled(files=(tmp_path / "a_vela.tflite",), report=report, notes=("n",))

    monkeypatch.setattr("edgeai.compiling.compile_for", compile_for)
    made = export(tmp_path / "a.edge", to=word, out=tmp_path, device="ethos-u55-128", variant="v")
    assert asked["profile"].id == "ethos-u55-128"
    assert (asked["compiler"], asked["variant"], asked["source"]) == (word, "v", tmp_path / "a.edge")
    assert (made.files[0].name, made.notes, made.facts["sram_bytes"]) == ("a_vela.tflite", ("n",), 7)
