"""The table of delegates: complete, resolvable without an engine, and told alike in the documentation."""

from __future__ import annotations

import importlib
import re
import subprocess
import sys
from pathlib import Path

import pytest

from edgeai_runtime.delegates.options import check_options
from edgeai_runtime.delegates.probe import Probe, probe
from edgeai_runtime.delegates.table import DELEGATES, FAKE_DELEGATES
from edgeai_runtime.engines.onnxruntime_providers import PROVIDERS
from edgeai_runtime.engines.openvino_library import DEVICES, make_properties
from edgeai_runtime.engines.table import DEFAULT_DELEGATES, ENGINES, get_engine
from edgeai_runtime.errors import UsageError

PAGE = Path(__file__).parents[3] / "docs" / "delegates.md"


@pytest.mark.parametrize("name", DELEGATES)
def test_a_delegate_belongs_to_an_engine_and_its_probe_is_a_function(name: str) -> None:
    spec = DELEGATES[name]
    assert spec.name == name
    assert spec.engine in ENGINES
    assert name.startswith(f"{spec.engine}:")
    assert spec.needs
    if spec.probe:
        module, _, function = spec.probe.partition(":")
        assert callable(getattr(importlib.import_module(module), function))


def test_the_adapters_reach_the_delegates_of_the_table() -> None:
    assert {name for name in DELEGATES if name.startswith("onnxruntime:")} == set(PROVIDERS)
    assert {name for name in DELEGATES if name.startswith("openvino:")} == set(DEVICES)
    assert set(DEFAULT_DELEGATES.values()) <= set(DELEGATES)


def test_the_default_delegates_are_the_cpu_and_what_they_are_given_is_in_the_table() -> None:
    assert {DELEGATES[name].device for name in DEFAULT_DELEGATES.values()} == {"cpu"}
    assert not any(DELEGATES[name].static_shapes for name in DEFAULT_DELEGATES.values())
    assert set(make_properties("openvino:cpu", 1, {})) <= set(DELEGATES["openvino:cpu"].options)


def test_no_delegate_is_called_tried_on_hardware_but_those_of_the_cpu() -> None:
    assert {spec.device for spec in DELEGATES.values() if spec.verified == "device"} == {"cpu"}


def test_reading_the_table_imports_no_engine_and_no_probe() -> None:
    code = "import sys, edgeai_runtime.delegates.table; print(*sorted(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    loaded = done.stdout.split()
    assert not [name for name in loaded if name.startswith(("onnxruntime", "openvino", "ai_edge", "subprocess"))]
    assert not [name for name in loaded if name.startswith("edgeai_runtime.delegates.probe")]


@pytest.mark.parametrize("spec", DELEGATES.values(), ids=list(DELEGATES))
def test_the_page_of_delegates_says_what_the_table_says(spec: object) -> None:
    from edgeai_runtime.delegates.table import DelegateSpec

    assert isinstance(spec, DelegateSpec)
    row = f"| `{spec.name}` | {spec.device} | {spec.verified} | {'yes' if spec.static_shapes else ''} | {spec.needs} |"
    assert row in PAGE.read_text()


def test_the_page_of_delegates_names_no_other_delegate() -> None:
    told = re.findall(r"^\| `([a-z]+:[a-z-]+)` \|", PAGE.read_text(), re.MULTILINE)
    assert sorted(told) == sorted(DELEGATES)


def test_an_option_is_checked_against_the_table() -> None:
    options = {"INFERENCE_PRECISION_HINT": "bf16"}
    assert check_options("openvino:cpu", options) == options
    with pytest.raises(UsageError, match="no option 'INFERENCE_PRECISION'") as caught:
        check_options("openvino:cpu", {"INFERENCE_PRECISION": "bf16"})
    assert "INFERENCE_PRECISION_HINT" in caught.value.hint


def test_an_option_with_a_star_stands_for_every_ending() -> None:
    assert check_options("onnxruntime:qnn-htp", {"dimension.rows": "3"}) == {"dimension.rows": "3"}
    with pytest.raises(UsageError, match="no option"):
        check_options("onnxruntime:cpu", {"dimension.rows": "3"})


def test_a_value_that_is_no_text_is_an_error() -> None:
    with pytest.raises(UsageError, match="is a text"):
        check_options("openvino:cpu", {"NUM_STREAMS": 2})  # type: ignore[dict-item]


def test_a_fake_delegate_is_always_present() -> None:
    assert all(probe(name).present for name in FAKE_DELEGATES)


def test_an_unknown_delegate_is_an_error_with_the_nearest_name() -> None:
    with pytest.raises(UsageError, match="openvino:npv") as caught:
        probe("openvino:npv")
    assert "openvino:npu" in caught.value.hint


@pytest.mark.parametrize(("error", "words"), [(OSError("no bus"), "no bus"), (UsageError("nothing here"), "nothing")])
def test_a_probe_that_fails_means_absent(monkeypatch: pytest.MonkeyPatch, error: Exception, words: str) -> None:
    if not get_engine("openvino").info().present:
        pytest.skip("openvino is not installed, so nothing is probed")
    import edgeai_runtime.delegates.probe_openvino as probing

    def fail(name: str) -> Probe:
        raise error

    monkeypatch.setattr(probing, "probe_device", fail)
    probe.cache_clear()
    try:
        found = probe("openvino:npu")
    finally:
        probe.cache_clear()
    assert found.present is False
    assert words in found.reason
