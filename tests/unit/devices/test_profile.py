"""Device profiles: read, checked, found."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from edgeai_devices.catalog import find_profile, read_profiles
from edgeai_devices.profile import parse_profile, read_profile
from edgeai_runtime.errors import UsageError

PROFILE: dict[str, Any] = {
    "id": "box",
    "name": "A box",
    "verified": "none",
    "delegates": ["litert:xnnpack"],
    "cpu": {"model": "A core", "architecture": "aarch64", "isa": ["asimd"], "cores": 4},
    "memory": {"ram_mib": [512, 1024]},
    "sources": {
        "cpu.model": "data sheet",
        "cpu.architecture": "data sheet",
        "cpu.isa": "data sheet",
        "cpu.cores": "data sheet",
        "memory.ram_mib": "shop",
    },
}

OWN = """
id = "{id}"
name = "Mine"
verified = "device"
[cpu]
model = "m"
architecture = "x86_64"
[sources]
"cpu.model" = "seen"
"cpu.architecture" = "seen"
"""


def _changed(path: str, value: object) -> dict[str, Any]:
    document = deepcopy(PROFILE)
    *tables, key = path.split("/")
    table = document
    for name in tables:
        table = table[name]
    table[key] = value
    return document


def test_a_profile_is_read_as_it_is_written() -> None:
    profile = parse_profile(PROFILE, where="box.toml")
    assert profile.cpu.isa == ("asimd",)
    assert profile.memory.ram_mib == (512, 1024)
    assert profile.to_json()["sources"]["memory.ram_mib"] == "shop"


def test_a_figure_without_a_source_is_an_error() -> None:
    document = deepcopy(PROFILE)
    del document["sources"]["cpu.cores"]
    with pytest.raises(UsageError, match=r"box\.toml: sources: 'cpu\.cores' is missing"):
        parse_profile(document, where="box.toml")


def test_a_source_for_no_figure_is_an_error() -> None:
    with pytest.raises(UsageError, match=r"unknown key 'cpu\.max_mhz'"):
        parse_profile(_changed("sources/cpu.max_mhz", "data sheet"), where="box.toml")


def test_an_unknown_key_offers_the_nearest() -> None:
    with pytest.raises(UsageError, match="Did you mean delegates"):
        parse_profile(_changed("delegate", ["x"]), where="box.toml")


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("verified", "maybe"),
        ("verified", True),
        ("name", ""),
        ("cpu", "fast"),
        ("cpu/cores", 0),
        ("cpu/cores", True),
        ("cpu/cores", "4"),
        ("cpu/isa", "asimd"),
        ("memory/ram_mib", 512),
        ("memory/ram_mib", [0]),
        ("formats", ["coreml"]),
        ("precisions", ["int2"]),
        ("sources/cpu.cores", 7),
    ],
)
def test_a_wrong_type_or_word_is_an_error_that_names_the_file(path: str, value: object) -> None:
    with pytest.raises(UsageError, match=r"box\.toml"):
        parse_profile(_changed(path, value), where="box.toml")


@pytest.mark.parametrize("key", ["id", "name", "verified", "cpu"])
def test_what_every_profile_needs_may_not_be_missing(key: str) -> None:
    document = {name: value for name, value in PROFILE.items() if name != key}
    with pytest.raises(UsageError, match=f"'{key}' is missing|unknown key"):
        parse_profile(document, where="box.toml")


@pytest.mark.parametrize(
    ("sizes", "words"), [([], "varies"), ([512], "512 MiB"), ([2048], "2 GiB"), ([1024, 8192], "1-8 GiB")]
)
def test_memory_is_told_in_words(sizes: list[int], words: str) -> None:
    assert parse_profile(_changed("memory/ram_mib", sizes), where="box.toml").memory_in_words() == words


def test_every_shipped_profile_passes_the_checks_and_claims_only_known_delegates(tmp_path: Path) -> None:
    from edgeai_runtime.delegates.table import DELEGATES

    profiles = read_profiles(tmp_path)
    assert len(profiles) >= 5
    assert {name for profile in profiles for name in profile.delegates} <= set(DELEGATES)


def test_own_profiles_are_read_and_replace_shipped_ones(tmp_path: Path) -> None:
    (tmp_path / "mine.toml").write_text(OWN.format(id="mine"))
    (tmp_path / "rpi5.toml").write_text(OWN.format(id="rpi5"))
    assert find_profile("mine", tmp_path).verified == "device"
    assert find_profile("rpi5", tmp_path).name == "Mine"


def test_the_id_is_the_name_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "other.toml").write_text(OWN.format(id="mine"))
    with pytest.raises(UsageError, match="id must be the name of the file"):
        read_profile(tmp_path / "other.toml", find_rules=lambda _: None)


def test_what_is_no_toml_is_an_error_that_names_the_file(tmp_path: Path) -> None:
    (tmp_path / "bad.toml").write_text("id = ")
    with pytest.raises(UsageError, match=r"bad\.toml can not be read"):
        read_profiles(tmp_path)


def test_an_unknown_id_offers_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean rpi4"):
        find_profile("RPI-4", tmp_path)
