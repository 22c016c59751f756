"""The device's command line: its documents, exit codes and errors, on the fake engine."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from edgeai_runtime.__main__ import main
from edgeai_runtime.bench.tiers import TIERS
from edgeai_runtime.device_cli_text import as_text

MakeBundle = Callable[..., Path]


def _json(capsys: pytest.CaptureFixture[str], *words: str) -> tuple[Any, int]:
    code = main([*words, "--json"])
    captured = capsys.readouterr()
    assert captured.err == ""
    return json.loads(captured.out), code


@pytest.fixture
def samples(tmp_path: Path) -> Path:
    path = tmp_path / "x.npz"
    np.savez(path, x=np.array([[1, np.inf]], np.float32))
    return path


def test_run_prints_outputs_placement_and_latency(
    make_bundle: MakeBundle, samples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    document, code = _json(capsys, "run", str(make_bundle({"net": {"factor": 2}})), "--input", str(samples))

    assert code == 0
    assert document["outputs"] == {"y": [[2.0, None]]}
    assert document["placement"]["cpu"] == 1.0
    assert document["latency_ms"] > 0


def test_run_speaks_to_people_without_json(
    make_bundle: MakeBundle, samples: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["run", str(make_bundle({"net": {}})), "--input", str(samples)]) == 0
    assert "ran on fake:cpu (cpu 100%)" in capsys.readouterr().out


def test_bench_times_every_variant_and_compares_with_the_first(
    make_bundle: MakeBundle, capsys: pytest.CaptureFixture[str]
) -> None:
    path = str(make_bundle({"one": {}, "two": {}}))
    document, code = _json(capsys, "bench", path, "--all-variants", "--duration", "0")

    assert code == 0
    assert [run["artifact"] for run in document["runs"]] == [f"{path}#one", f"{path}#two"]
    assert set(document["runs"][0]) >= {
        *("artifact", "format", "engine", "delegate", "placement", "threads", "scenario", "latency_ms"),
        *("throughput_per_s", "load_ms", "first_ms", "rss_mib", "outputs_match"),
    }
    assert set(document["runs"][0]["latency_ms"]) >= {"median", "p90", "p99", "median_ci95"}
    assert set(document["comparisons"][0]) == {"a", "b", "ratio", "ci95", "verdict"}


def test_bench_runs_a_scenario_when_asked_and_says_whether_it_is_valid(
    make_bundle: MakeBundle, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TIERS, "quick", (0.01, 0.02, (5, 5, 5, 5)))
    path = str(make_bundle({"one": {}}))
    document, code = _json(capsys, "bench", path, "--duration", "0", "--scenario", "single_stream", "--tier", "quick")

    outcome = document["runs"][0]["outcome"]
    assert code == 0
    assert (outcome["metric"], outcome["valid"]) == ("p90_latency_ms", True)
    assert outcome["value"] > 0
    assert "single_stream: p90_latency_ms" in as_text("bench", document)


def test_a_scenario_tells_its_progress_to_a_terminal_on_a_line_of_its_own(
    make_bundle: MakeBundle, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(TIERS, "quick", (1.1, 1.2, (5, 5, 5, 5)))
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True)
    words = ["bench", str(make_bundle({"one": {}})), "--duration", "0", "--scenario", "single_stream"]
    assert main(words) == 0
    said = capsys.readouterr().err
    assert said.startswith("\r")
    assert " s" in said
    assert said.endswith("\n")


def test_an_interruption_ends_with_the_code_of_a_shell(
    make_bundle: MakeBundle, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def interrupt(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("edgeai_runtime.bench.yardsticks.interleave", interrupt)
    document, code = _json(capsys, "bench", str(make_bundle({"one": {}})))
    assert (document["error"]["message"], code) == ("interrupted", 130)


def test_verify_fails_with_code_1_for_a_changed_byte(
    make_bundle: MakeBundle, capsys: pytest.CaptureFixture[str]
) -> None:
    path = make_bundle({"net": {}})
    path.write_bytes(path.read_bytes().replace(b'"edgeai_fake": 1', b'"edgeai_fake": 2'))
    document, code = _json(capsys, "verify", str(path))

    assert code == 1
    assert document["ok"] is False


def test_devices_lists_engines_and_delegates(capsys: pytest.CaptureFixture[str]) -> None:
    document, code = _json(capsys, "devices")

    assert code == 0
    assert {engine["name"] for engine in document["engines"]} == {"litert", "onnxruntime", "openvino"}
    delegates = {delegate["name"]: delegate for delegate in document["delegates"]}
    assert delegates["onnxruntime:cpu"]["present"] is True
    assert all(one["present"] or one["reason"] for one in delegates.values())
    assert delegates["openvino:npu"]["options"]["NPU_TURBO"]["meaning"]


def test_devices_says_in_words_why_a_delegate_is_absent() -> None:
    spec = {"name": "a:b", "device": "npu", "verified": "none", "driver": "", "devices": [], "emulated": False}
    machine = {"cpu": "c", "usable_cores": "1", "cores": "1", "os": "o", "isa": ""}
    absent = {**spec, "present": False, "reason": "no driver for it"}
    text = as_text("devices", {"machine": machine, "engines": [], "delegates": [absent]})
    assert "no driver for it" in text


@pytest.mark.parametrize(
    ("words", "code", "kind"),
    [
        (("fly",), 2, "UsageError"),
        (("run", "net.edge"), 2, "UsageError"),
        (("run", "nothing.onnx", "--input", "x.txt"), 1, "ModelError"),
        (("bench", "nothing.edge"), 1, "ModelError"),
        (("bench", "nothing.onnx", "--require", "nqu"), 2, "UsageError"),
        (("bench", "nothing.onnx", "--batch", "0"), 2, "UsageError"),
        (("bench", "nothing.onnx", "--duration", "nan"), 2, "UsageError"),
    ],
)
def test_errors_are_one_document_with_type_message_and_hint(
    capsys: pytest.CaptureFixture[str], words: tuple[str, ...], code: int, kind: str
) -> None:
    document, exit_code = _json(capsys, *words)

    assert exit_code == code
    assert document["error"]["type"] == kind
    assert document["error"]["message"]
    assert "hint" in document["error"]


def test_a_table_of_times_says_where_each_ran_and_how_many_samples_a_call_has(
    capsys: pytest.CaptureFixture[str], make_bundle: MakeBundle
) -> None:
    document, _ = _json(capsys, "bench", str(make_bundle({"one": {}})), "--duration", "0", "--batch", "3")
    assert document["runs"][0]["emulated"] is False
    run = {**document["runs"][0], "placement": {"cpu": 0.2, "gpu": 0.0, "npu": 0.8}, "emulated": True}
    text = as_text("bench", {**document, "runs": [*document["runs"], run]})
    assert " cpu " in text.splitlines()[2]
    assert " 20% cpu, 80% npu, simulated  3 " in text.splitlines()[3]
