"""What a device measured, read at the desk: the real verb of the device's command line, on the fake engine."""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from edgeai.benchmarking.compared import compare_stored
from edgeai.benchmarking.joined import join_results
from edgeai.benchmarking.result import SCHEMA
from edgeai.benchmarking.stored import check_report, read_report
from edgeai.cli.app import run as run_cli
from edgeai_runtime.__main__ import main
from edgeai_runtime.bench.tiers import TIERS
from edgeai_runtime.bundle import open_bundle
from edgeai_runtime.device_cli_bench import SCHEMA as DEVICE_SCHEMA
from edgeai_runtime.errors import DataError, UsageError

Document = dict[str, Any]
Measure = Callable[..., Document]


@pytest.fixture
def measure(make_fake: Callable[..., Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Measure:
    """Return what `python -m edgeai_runtime bench net.edge other.edge … --json` prints of two bundles alike."""

    def bench(*words: str) -> Document:
        path = make_fake(delegates=("fake:cpu",))
        other = shutil.copy(path, tmp_path / "other.edge")
        assert main(["bench", str(path), str(other), "--duration", "0", *words, "--json"]) == 0
        document: Document = json.loads(capsys.readouterr().out)
        return document

    return bench


@pytest.fixture
def told(measure: Measure) -> Document:
    return measure("--all-variants")


def test_what_a_device_measured_becomes_a_result_of_the_desk(told: Document, tmp_path: Path) -> None:
    (tmp_path / "device.json").write_text(json.dumps(told))
    result = read_report(tmp_path / "device.json")

    device, run = told["runs"][0], result["runs"][0]
    assert (told["schema"], result["schema"]) == (DEVICE_SCHEMA, SCHEMA)
    assert (result["machine"], result["created"]) == (told["machine"], told["created"])
    for same in ("artifact", "format", "delegate", "placement", "threads", "batch", "load_ms", "rounds_ms"):
        assert run[same] == device[same]
    assert run["latency_ms"]["median"] == device["latency_ms"]["median"]
    assert run["calls"] == device["latency_ms"]["n"] == sum(run["latency_ms"]["histogram"]["counts"])
    assert (run["ran_on"], run["noise"]["noisy"] in (True, False)) == ("cpu", True)
    assert result["tools"].keys() >= {"edgeai-runtime", "numpy", "python"}
    assert [each["verdict"] for each in result["comparisons"]] == [told["comparisons"][0]["verdict"]]


def test_the_digest_is_that_of_the_variants_file(told: Document) -> None:
    bundle = open_bundle(Path(told["runs"][0]["artifact"].partition("#")[0]))
    run = check_report(told, where="it")["runs"][0]
    (entry,) = bundle.manifest.variants[0].files
    assert (run["digest"], run["size_bytes"]) == (entry.sha256, entry.size_bytes)


def test_several_files_have_the_digest_of_their_digests(told: Document) -> None:
    told["runs"][0]["files"] = [["aa", 3], ["bb", 4]]
    run = check_report(told, where="it")["runs"][0]
    assert (run["digest"], run["size_bytes"]) == (hashlib.sha256(b"aabb").hexdigest(), 7)


def test_a_bundle_is_called_by_the_variant_that_the_device_chose(measure: Measure) -> None:
    told = measure()
    run = check_report(told, where="it")["runs"][0]
    assert told["runs"][0]["artifact"].endswith("net.edge")
    assert told["comparisons"][0]["b"] == told["runs"][0]["artifact"]
    assert check_report(told, where="it")["comparisons"][0]["b"] == run["label"]
    assert run["artifact"] == run["label"] == f"{told['runs'][0]['artifact']}#net"


def test_what_the_device_did_not_tell_is_not_guessed(told: Document) -> None:
    for key in ("files", "rounds_ms", "histogram", "load", "rss_mib", "outputs_match", "precision", "engine_version"):
        del told["runs"][0][key]
    del told["created"], told["tools"], told["machine"]["python"]
    result = check_report(told, where="it")
    run = result["runs"][0]
    unknown = ("digest", "size_bytes", "noise", "rss_mib", "outputs_match", "precision", "engine_version", "accuracy")
    assert [run[key] for key in unknown] == [None] * len(unknown)
    assert (list(run["rounds_ms"]), run["latency_ms"]["histogram"], result["created"]) == ([], None, "")
    assert set(result["tools"]) == {result["runs"][1]["engine"]} or not result["tools"]


def test_other_processes_on_the_device_make_its_run_noisy_by_its_own_cores(told: Document) -> None:
    told["machine"]["cores"], told["runs"][0]["load"] = "4", 1.0
    noise = check_report(told, where="it")["runs"][0]["noise"]
    assert noise["noisy"]
    assert "other processes took 1.0 of 4 cores" in noise["reason"]
    told["machine"]["cores"] = "unknown"
    assert check_report(told, where="it")["runs"][0]["noise"]["load"] is None


def test_a_scenario_on_the_device_is_a_run_of_that_scenario(measure: Measure, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(TIERS, "quick", (0.01, 0.02, (5, 5, 5, 5)))
    run, _ = check_report(measure("--scenario", "offline"), where="it")["runs"]
    outcome = run["outcome"]
    assert (run["scenario"], outcome["metric"], outcome["driver"]) == ("offline", "samples_per_s", "edgeai")
    assert outcome["detail"]["batch"] == run["batch"]


def test_simulated_hardware_is_told_beside_its_comparisons(told: Document) -> None:
    told["runs"][1]["emulated"] = True
    assert "is simulated" in check_report(told, where="it")["comparisons"][0]["note"]


def test_two_devices_are_compared_and_their_machines_told_apart(told: Document) -> None:
    other = json.loads(json.dumps(told))
    other["machine"]["cpu"] = "Cortex-A76"
    old, new = check_report(told, where="old"), check_report(other, where="new")
    comparisons = compare_stored(old, new)
    assert [each.verdict for each in comparisons] == ["no_difference"] * 2
    assert all("another cpu" in each.note and "the file is the same" in each.note for each in comparisons)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        ({"schema": "edgeai.device-bench/9"}, "another version of edgeai-runtime"),
        ({"runs": [{"artifact": "x"}]}, r"incomplete: runs\[0\]\.format is missing"),
        ({"machine": {"cpu": 3}}, r"machine\.cpu should be text"),
        ({"runs": []}, "holds no run"),
        ({"runs": None}, "runs should be a list"),
    ],
)
def test_a_damaged_or_foreign_result_is_refused_by_the_place(told: Document, change: Document, words: str) -> None:
    with pytest.raises(DataError, match=words):
        check_report({**told, **change}, where="it")


def test_a_result_without_a_schema_is_refused_with_the_way_to_make_one(told: Document) -> None:
    del told["schema"]
    with pytest.raises(UsageError, match="no result") as caught:
        check_report(told, where="it")
    assert "python -m edgeai_runtime bench" in caught.value.hint


def test_a_page_is_made_of_one_device_and_of_several(
    told: Document, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name, cpu in (("pi", "Cortex-A76"), ("board", "Cortex-A53")):
        told["machine"]["cpu"] = cpu
        (tmp_path / f"{name}.json").write_text(json.dumps(told))
    paths = [str(tmp_path / "pi.json"), str(tmp_path / "board.json")]
    page = tmp_path / "page.html"

    assert run_cli(["report", paths[0]]) == 0
    assert "Cortex-A76" in page.with_name("pi.html").read_text()
    assert run_cli(["report", *paths]) == 2
    assert "-o page.html" in capsys.readouterr().err
    assert run_cli(["report", *paths, "-o", str(page)]) == 0
    text = page.read_text()
    assert all(word in text for word in ("net.edge#net @ pi", "other.edge#net @ board", "Cortex-A76, Cortex-A53"))


def test_joined_results_keep_their_own_groups_and_comparisons(told: Document) -> None:
    result = check_report(told, where="it")
    result["runs"][0]["label"] += " on fake:cpu, 2 threads"
    result["yardsticks"] = [{"group": 0, "name": "x", "rounds_ms": [1.0]}]
    joined = check_report(join_results({"a": result, "b": result}), where="joined")
    artifact = result["runs"][0]["artifact"]
    assert [run["group"] for run in joined["runs"]] == [0, 0, 1, 1]
    assert [each["group"] for each in joined["yardsticks"]] == [0, 1]
    assert joined["runs"][2]["label"] == f"{artifact} @ b on fake:cpu, 2 threads"
    labels = {run["label"] for run in joined["runs"]}
    assert len(labels) == 4
    assert {joined["comparisons"][1]["a"]} <= labels
