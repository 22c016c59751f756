"""`edgeai bench` by the command line: everything measured at once, stored, compared, drawn, and judged."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
import xml.etree.ElementTree as ET
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

pytest.importorskip("onnxruntime")


def edgeai(*arguments: object, folder: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "edgeai", *map(str, arguments)]
    environment = {**os.environ, "EDGEAI_CACHE": str(folder / "cache")}
    return subprocess.run(
        command, cwd=folder, env=environment, capture_output=True, text=True, timeout=300, check=False
    )


def network(width: int, path: Path) -> None:
    """Write a network of two dense layers, 64 → width → 4, for batches of any size."""
    generator = np.random.default_rng(0)
    weights = {
        "a": generator.normal(size=(64, width)).astype(np.float32),
        "b": generator.normal(size=(width, 4)).astype(np.float32),
    }
    nodes = [
        helper.make_node("MatMul", ["x", "a"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "b"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "dense",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 64])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 4])],
        [numpy_helper.from_array(value, name) for name, value in weights.items()],
    )
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=10), path)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small and a large network, labelled samples, and one measurement of everything."""
    folder = tmp_path_factory.mktemp("bench")
    network(8, folder / "small.onnx")
    network(4096, folder / "large.onnx")
    generator = np.random.default_rng(1)
    np.savez(
        folder / "data.npz", x=generator.normal(size=(40, 64)).astype(np.float32), y=generator.integers(4, size=40)
    )
    done = edgeai(
        *("bench", "large.onnx", "small.onnx", "--duration", "200ms", "--measure", "all", "--sustained", "1s"),
        *("--data", "data.npz", "-o", "all.json", "--html", "all.html", "--markdown", "all.md", "--csv", "all.csv"),
        *("--junit", "all.xml", "--trace", "all.trace.json"),
        folder=folder,
    )
    assert done.returncode == 0, done.stderr
    (folder / "said.txt").write_text(done.stdout)
    return folder


def stored(folder: Path, name: str = "all.json") -> dict[str, Any]:
    document: dict[str, Any] = json.loads((folder / name).read_text())
    return document


def test_everything_that_was_asked_for_was_measured(folder: Path) -> None:
    for run in stored(folder)["runs"]:
        assert run["phases"]["compile_cold_ms"] > 0
        assert run["memory"]["peak_mib"] >= run["memory"]["before_mib"]
        assert run["sustained"]["points"]
        assert {one["op"] for one in run["operators"]["operators"]} >= {"MatMul"}
        assert run["energy"]["meter"]
        assert run["accuracy"]["n"] == 40
        assert run["ran_on"] == "cpu"
        assert len(run["rounds_ms"]) >= 15


def test_the_words_name_both_and_say_which_is_faster(folder: Path) -> None:
    said = (folder / "said.txt").read_text()
    assert "small.onnx is " in said
    assert "faster than large.onnx" in said
    assert "top1" in said


def test_every_kind_of_file_is_what_its_name_says(folder: Path) -> None:
    with (folder / "all.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == 2
    assert "| " in (folder / "all.md").read_text()
    assert ET.parse(folder / "all.xml").getroot().tag in ("testsuites", "testsuite")
    assert "</html>" in (folder / "all.html").read_text()
    events = json.loads((folder / "all.trace.json").read_text())["traceEvents"]
    assert {"X", "M"} <= {event["ph"] for event in events}


def test_a_stored_result_is_drawn_again_without_measuring(folder: Path) -> None:
    done = edgeai("report", "all.json", "-o", "again.html", folder=folder)
    assert done.returncode == 0, done.stderr
    assert "small.onnx" in (folder / "again.html").read_text()


def test_a_result_against_itself_is_no_difference_and_passes(folder: Path) -> None:
    done = edgeai("bench", "--compare", "all.json", "all.json", "--fail-if-slower", "5%", folder=folder)
    assert done.returncode == 0, done.stderr
    assert done.stdout.count("no difference") == 2


def test_what_became_slower_is_named_and_fails(folder: Path) -> None:
    document = stored(folder)
    run = document["runs"][1]
    run["rounds_ms"] = [50 * value for value in run["rounds_ms"]]  # beyond any noise
    run["latency_ms"]["median"] *= 50
    (folder / "slow.json").write_text(json.dumps(document))
    done = edgeai(
        "bench", "--compare", "all.json", "slow.json", "--fail-if-slower", "5%", "--json", "--junit", "v.xml",
        folder=folder,
    )  # fmt: skip
    assert done.returncode == 1
    assert "small.onnx" in done.stderr
    assert [pair["verdict"] for pair in json.loads(done.stdout)["comparisons"]] == ["no_difference", "slower"]
    assert len(ET.parse(folder / "v.xml").getroot().findall(".//failure")) == 1


def test_batches_and_threads_are_runs_of_their_own(folder: Path) -> None:
    done = edgeai(
        "bench", "small.onnx", "--batch", "1,16", "--threads", "1,2", "--duration", "50ms", "--json", folder=folder
    )
    runs = json.loads(done.stdout)["runs"]
    assert [(run["threads"], run["batch"]) for run in runs] == [(1, 1), (1, 16), (2, 1), (2, 16)]
    assert runs[1]["throughput_per_s"] > runs[0]["throughput_per_s"]


def test_all_delegates_are_those_that_are_here_and_the_rest_says_why_not(folder: Path) -> None:
    done = edgeai("bench", "small.onnx", "--delegate", "all", "--duration", "50ms", "--json", folder=folder)
    document = json.loads(done.stdout)
    assert "onnxruntime:cpu" in {run["delegate"] for run in document["runs"]}
    absent = {each["artifact"]: each["reason"] for each in document["skipped"]}
    assert absent["onnxruntime:tensorrt"]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("small.onnx", "--delegate", "onnxruntime:cpus"), "onnxruntime:cpu"),
        (("small.onnx", "--threads", "two"), "--threads"),
        (("--compare", "all.json"), "two stored results"),
        (("--compare", "all.json", "small.onnx"), "small.onnx"),
        (("small.onnx", "--html", "all.html"), "all.html"),
        (("small.onnx", "--html", "one", "--csv", "one"), "name of its own"),
        (("small.onnx", "--trace", "one", "--measure", "memory"), "--measure operators"),
    ],
)
def test_a_wrong_command_is_refused_before_anything_is_measured(
    folder: Path, arguments: tuple[str, ...], words: str
) -> None:
    done = edgeai("bench", *arguments, folder=folder)
    assert done.returncode in (1, 2)
    assert words in done.stderr


def test_a_limit_with_nothing_to_compare_does_not_pass(folder: Path) -> None:
    done = edgeai("bench", "small.onnx", "--duration", "50ms", "--fail-if-slower", "5%", folder=folder)
    assert done.returncode == 2
    assert "nothing to compare" in done.stderr
    assert "small.onnx" in done.stdout
    done = edgeai("bench", "small.onnx", "--duration", "50ms", "--fail-if-slower", "5%", "--json", folder=folder)
    assert "nothing to compare" in json.loads(done.stdout)["error"]["message"]
