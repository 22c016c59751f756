"""What a variant needs of a machine is looked up before its engine sees it."""

from __future__ import annotations

import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from edgeai_runtime.errors import PlacementError
from edgeai_runtime.installed import engine_version, installed_version, satisfies, unmet_need
from edgeai_runtime.loading import load

MakeFake = Callable[..., Path]


@pytest.mark.parametrize(
    ("version", "requirement", "fits"),
    [
        ("2.3.0", ">=2.1", True),
        ("2.1", ">=2.1.0", True),
        ("2.10", ">=2.9", True),
        ("2.0.9", ">=2.1", False),
        ("3.0", ">=2.1,<3", False),
        ("2.1rc1", ">=2.1", True),
        ("1.0+cpu", "==1.0", True),
        ("1.0", "!=1.0", False),
        ("1.0", "<=1.0", True),
        ("1.0", ">1.0", False),
        ("1.0", "about one", True),
    ],
)
def test_versions_are_compared_by_their_numbers(version: str, requirement: str, fits: bool) -> None:
    assert satisfies(version, requirement) is fits


def test_the_version_of_a_distribution_is_found_without_importing_it() -> None:
    assert installed_version("NumPy") == np.__version__
    assert installed_version("no-such-package") == ""
    assert engine_version("fake") == ""


def test_names_of_distributions_are_compared_as_pip_does(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "Some_Engine-1.2.dist-info").mkdir()
    (tmp_path / "some_engine_extras-9.dist-info").mkdir()
    monkeypatch.syspath_prepend(str(tmp_path))

    assert installed_version("some.engine") == "1.2"


@pytest.mark.parametrize(
    ("needs", "words"),
    [
        ({"numpy": ">=999"}, "needs numpy >=999; "),
        ({"python": "<3"}, f"needs python <3; {sys.version.split()[0]} is installed"),
        ({"isa": "sse4_1 abacus,slide_rule"}, "needs a processor with abacus and slide_rule"),
        ({"numpy": ">=1", "python": ">=3.10", "isa": "sse4_1"}, ""),
        ({"not-installed-here": ">=1"}, ""),
    ],
)
def test_the_first_unmet_need_is_told(needs: dict[str, str], words: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeai_runtime.bench.machine.isa_flags", lambda: ["sse4_1"])

    assert words in unmet_need(needs)
    assert bool(words) is bool(unmet_need(needs))


def test_an_instruction_set_is_not_judged_where_the_system_does_not_tell(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgeai_runtime.bench.machine.isa_flags", list)

    assert unmet_need({"isa": "abacus"}) == ""


def test_a_variant_whose_needs_are_not_met_is_skipped_with_the_reason(make_fake: MakeFake) -> None:
    path = make_fake(own={"needs": {"numpy": ">=999"}}, on_open="abort")

    with pytest.raises(PlacementError, match=r"fake:cpu: variant net needs numpy >=999"):
        load(path)


@pytest.mark.parametrize(
    ("installed", "told"),
    [
        ({"ai-edge-litert": "2.3.0", "tensorflow": "2.21.0"}, "ai-edge-litert 2.3.0"),
        ({"tensorflow": "2.21.0"}, "tensorflow 2.21.0"),
        ({}, ""),
    ],
)
def test_an_engine_is_told_by_the_package_that_it_is_taken_from(
    monkeypatch: pytest.MonkeyPatch, installed: dict[str, str], told: str
) -> None:
    monkeypatch.setattr("edgeai_runtime.installed.installed_version", lambda name: installed.get(name, ""))
    assert engine_version("litert") == told
