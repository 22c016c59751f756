"""What later steps need is asked for before the first one, and only when they are to run."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeai.builder.config_read import parse_config
from edgeai.builder.ready import require_tools
from edgeai_runtime.errors import BundleError, EdgeAIError, MissingEngineError, PlacementError, UsageError


def check(folder: Path, steps: set[str], *, target: dict[str, Any], **tables: Any) -> None:
    document = {
        "schema": 1,
        "project": {"name": "app"},
        "models": {"net": {"source": "net.onnx", "targets": {"any": target}}},
        **tables,
    }
    config = parse_config(document, file=folder / "edgeai.toml")
    require_tools(config, config.models[0], config.models[0].targets[0], steps)


@pytest.mark.parametrize(
    ("step", "target", "tables", "error", "words"),
    [
        (
            "compile:edgetpu",
            {"device": "coral-usb", "outputs": ["edgetpu"]},
            {},
            MissingEngineError,
            r"models\.net\.targets\.any\.outputs: edgetpu: .*not installed",
        ),
        ("gate", {"gates": {"not_slower_than": "old.edge"}}, {}, BundleError, r"any\.gates\.not_slower_than: "),
        (
            "gate",
            {"formats": ["tflite"], "gates": {"coverage": 0.5}},
            {},
            PlacementError,
            r"any\.gates\.coverage: nothing here tells what runs on npu",
        ),
        ("sign", {}, {"sign": {"key": "old.edge"}}, UsageError, r"sign\.key: "),
        ("encrypt", {}, {"encrypt": {"key": "old.edge"}}, UsageError, r"encrypt\.key: "),
    ],
    ids=["compiler", "release", "coverage", "signature", "encryption"],
)
def test_what_is_missing_is_told_with_its_key_when_the_step_is_to_run(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    step: str,
    target: dict[str, Any],
    tables: dict[str, Any],
    error: type[EdgeAIError],
    words: str,
) -> None:
    pytest.importorskip("cryptography")
    monkeypatch.setenv("PATH", str(tmp_path))
    (tmp_path / "old.edge").write_bytes(b"neither a bundle nor a key")
    with pytest.raises(error, match=words):
        check(tmp_path, {step}, target=target, **tables)
    check(tmp_path, {"bundle"}, target=target, **tables)
