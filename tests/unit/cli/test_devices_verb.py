"""`edgeai devices`: profiles shown with what is known of accelerators and rules; this machine's own is written."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from edgeai.cli import main
from edgeai_devices import local
from edgeai_devices.catalog import find_profile
from edgeai_runtime.delegates.probe import Probe


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in an empty folder, on a machine that has LiteRT and nothing else."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(local, "probe", lambda name: Probe(present=name == "litert:xnnpack"))


def test_an_accelerator_and_its_rules_are_shown(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices", "imx93"]) == 0
    shown = capsys.readouterr().out
    assert "accelerator_config ethos-u65-256" in shown
    assert "the CPU runs the others" in shown
    assert "widths in multiples of 16" in shown


def test_json_holds_the_rules_in_full(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices", "stm32u575", "--json"]) == 0
    device = json.loads(capsys.readouterr().out)["device"]
    assert device["rules"] == ["tflite-micro"]
    assert "CONV_2D" in device["rules_in_full"][0]["allowed"]


def test_the_profile_of_this_machine_is_written_and_found(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices", "mine", "--local"]) == 0
    captured = capsys.readouterr()
    assert captured.out.startswith("mine: ")
    assert captured.err == "written: devices/mine.toml\n"
    assert find_profile("mine").delegates == ("litert:xnnpack",)


def test_a_profile_of_ones_own_is_not_overwritten_without_force(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices", "mine", "--local"]) == 0
    file = Path("devices/mine.toml")
    file.write_text("mine")
    assert main(["devices", "mine", "--local"]) == 1
    assert file.read_text() == "mine"
    assert main(["devices", "mine", "--local", "--force"]) == 0
    assert file.read_text() != "mine"


def test_force_without_local_is_wrong_usage(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices", "rpi5", "--force"]) == 2
    assert "--local" in capsys.readouterr().err


def test_an_own_profile_is_listed_beside_those_shipped(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["devices", "mine", "--local", "--json"]) == 0
    capsys.readouterr()
    assert main(["devices", "--json"]) == 0
    assert {"mine", "rpi5"} <= {each["id"] for each in json.loads(capsys.readouterr().out)["devices"]}
