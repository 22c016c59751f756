"""Device profiles: read, checked, found."""

from __future__ import annotations

from copy import deepcopy
from pathlib import Path
from typing import Any

import pytest

from edgeai_devices.catalog import find_profile, read_profiles
from edgeai_devices.profile import Profile, parse_profile, read_profile
from edgeai_devices.profile_rules import Rules
from edgeai_devices.profile_toml import profile_to_toml
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

NPU: dict[str, Any] = {
    "model": "an NPU",
    "compilers": ["vela"],
    "static_shapes": True,
    "vela": {"accelerator_config": "ethos-u55-128", "system_config": "Ours", "memory_mode": "Shared_Sram"},
}

NPU_SOURCES = dict.fromkeys(("npu.model", "npu.static_shapes", "npu.vela"), "data sheet")

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


def _with_npu(**changes: object) -> dict[str, Any]:
    npu = {key: value for key, value in {**NPU, **changes}.items() if value is not None}
    sources = {key: text for key, text in NPU_SOURCES.items() if key.removeprefix("npu.") in npu}
    sources |= {f"npu.{key}": "data sheet" for key in changes if key in npu and key != "delegates"}
    own = {**PROFILE, "compilers": ["vela"], "npu": npu}
    return {**own, "sources": {**PROFILE["sources"], **sources}}


def _ethos(**changes: Any) -> Rules:
    return Rules(
        **{"id": "r", "name": "R", "applies_to": ("vela",), "vocabulary": "tflite", "otherwise": "cpu", **changes}
    )


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
    with pytest.raises(UsageError, match=r"bad\.toml cannot be read"):
        read_profiles(tmp_path)


def test_an_unknown_id_offers_the_nearest(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="Did you mean rpi4"):
        find_profile("RPI-4", tmp_path)


def test_an_accelerator_holds_what_its_compiler_is_told() -> None:
    profile = parse_profile(_with_npu(sram_kib=512), where="box.toml")
    assert profile.npu is not None
    assert profile.npu.vela is not None
    assert (profile.npu.vela.accelerator_config, profile.npu.sram_kib) == ("ethos-u55-128", 512)
    assert profile.gpu is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"vela": None}, "vela and the table 'vela' go together"),
        ({"vela": {**NPU["vela"], "accelerator_config": "ethos-u55-100"}}, "Did you mean|takes ethos-u55-32"),
        ({"vela": {"accelerator_config": "ethos-u55-128"}}, "'memory_mode' is missing"),
        ({"tops": 4}, "unknown key 'tops'"),
        ({"model": None}, "'model' is missing"),
        ({"delegates": ["litert:ethosu"]}, "npu: delegates names 'litert:ethosu', which the device's own delegates"),
        ({"static_shapes": "yes"}, "must be true or false"),
    ],
)
def test_an_accelerator_that_does_not_hold_together_is_an_error(changes: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words):
        parse_profile(_with_npu(**changes), where="box.toml")


def test_a_figure_of_an_accelerator_needs_a_source() -> None:
    document = _with_npu()
    del document["sources"]["npu.vela"]
    with pytest.raises(UsageError, match=r"'npu\.vela' is missing"):
        parse_profile(document, where="box.toml")


def test_rules_are_found_by_what_they_apply_to() -> None:
    rules = _ethos()
    profile = parse_profile({**_with_npu(), "rules": ["r"]}, where="box.toml", find_rules={"r": rules}.get)
    assert profile.rules_for("vela") == (rules,)
    assert profile.rules_for("litert:xnnpack") == ()


def test_rules_that_are_not_there_are_an_error() -> None:
    with pytest.raises(UsageError, match=r"there is no file r\.toml"):
        parse_profile({**PROFILE, "rules": ["r"]}, where="box.toml")


def test_rules_for_what_the_device_has_not_are_an_error() -> None:
    with pytest.raises(UsageError, match="'r' is for vela, which the device has not"):
        parse_profile({**PROFILE, "rules": ["r"]}, where="box.toml", find_rules={"r": _ethos()}.get)


def test_own_rules_are_read_beside_own_profiles(tmp_path: Path) -> None:
    (tmp_path / "rules").mkdir()
    rules = 'id = "r"\nname = "Mine"\napplies_to = ["litert:xnnpack"]\nvocabulary = "tflite"\notherwise = "cpu"\n'
    (tmp_path / "rules" / "r.toml").write_text(rules)
    head = 'rules = ["r"]\ndelegates = ["litert:xnnpack"]\n'
    (tmp_path / "mine.toml").write_text(head + OWN.format(id="mine"))
    assert [each.name for each in find_profile("mine", tmp_path).rules] == ["Mine"]


def test_a_broken_own_profile_does_not_stop_another(tmp_path: Path) -> None:
    (tmp_path / "broken.toml").write_text("id = ")
    assert find_profile("rpi5", tmp_path).id == "rpi5"


@pytest.mark.parametrize("profile", read_profiles(Path("none")), ids=lambda profile: profile.id)
def test_a_profile_written_as_toml_is_read_back_the_same(profile: Profile, tmp_path: Path) -> None:
    path = tmp_path / f"{profile.id}.toml"
    path.write_text(profile_to_toml(profile, head="two\nlines"), encoding="utf-8")
    assert read_profile(path, find_rules={each.id: each for each in profile.rules}.get) == profile


def test_characters_that_toml_wants_escaped_are_escaped(tmp_path: Path) -> None:
    profile = parse_profile(_changed("name", 'a "b" \\ \n\x7f é'), where="box.toml")
    (tmp_path / "box.toml").write_text(profile_to_toml(profile), encoding="utf-8")
    assert read_profile(tmp_path / "box.toml", find_rules=lambda _: None).name == profile.name
