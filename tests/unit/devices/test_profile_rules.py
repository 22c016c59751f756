"""Rules: what a delegate, a compiler or an export can take of a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from edgeai_devices.catalog import read_all_rules
from edgeai_devices.profile_rules import Rules
from edgeai_devices.profile_rules_file import parse_rules, read_rules
from edgeai_runtime.errors import UsageError

RULES: dict[str, Any] = {
    "id": "our-npu",
    "name": "Our NPU",
    "applies_to": ["vela"],
    "vocabulary": "tflite",
    "otherwise": "cpu",
    "precisions": ["int8"],
    "static_shapes": True,
    "allowed": ["CONV_2D", "ADD"],
    "denied": {"TANH": "its table is too coarse"},
    "limits": [
        {"operators": ["CONV_2D"], "property": "kernel_height", "min": 1, "max": 64, "source": "manual"},
        {"property": "rank", "max": 4, "source": "manual", "mend": "reshape it"},
    ],
    "kernel_widths": [{"operators": ["CONV_2D"], "channels": 16, "source": "manual"}],
    "slow_kernels": [{"precisions": ["int16x8"], "reason": "in software", "source": "measured"}],
    "gains": [{"method": "sparse", "pattern": "2:4", "effect": "latency", "source": "manual"}],
    "sources": dict.fromkeys(("precisions", "static_shapes", "allowed", "denied"), "manual"),
}


def _rules(**changes: object) -> Rules:
    return parse_rules({**RULES, **changes}, where="our-npu.toml")


def test_rules_are_read_as_they_are_written() -> None:
    rules = _rules()
    assert rules.allowed == ("CONV_2D", "ADD")
    assert rules.limits[0].max == 64
    assert rules.kernel_widths[0].channels == 16
    assert rules.slow_kernels[0].precisions == ("int16x8",)
    assert (rules.gains[0].method, rules.gains[0].pattern) == ("sparse", "2:4")
    assert not rules.constant_weights


def test_an_operator_is_refused_with_the_reason() -> None:
    rules = _rules()
    assert rules.why_not("ADD") == ""
    assert rules.why_not("TANH") == "its table is too coarse"
    assert rules.why_not("SIN") == "Our NPU has no SIN"


def test_without_a_list_any_operator_is_taken_that_is_not_denied() -> None:
    document = {key: value for key, value in RULES.items() if key != "allowed"}
    sources = {key: text for key, text in RULES["sources"].items() if key != "allowed"}
    rules = parse_rules({**document, "sources": sources}, where="our-npu.toml")
    assert rules.why_not("SIN") == ""
    assert rules.why_not("TANH") != ""


def test_a_limit_without_operators_holds_for_every_one() -> None:
    rules = _rules()
    assert [limit.property for limit in rules.limits_of("CONV_2D")] == ["kernel_height", "rank"]
    assert [limit.property for limit in rules.limits_of("ADD")] == ["rank"]


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"applies_to": ["velo"]}, "Did you mean vela"),
        ({"applies_to": []}, "applies_to must name at least one"),
        ({"vocabulary": "keras"}, "vocabulary takes tflite, onnx"),
        ({"otherwise": "gpu"}, "otherwise takes cpu, error"),
        ({"precision": ["int8"]}, "Did you mean precisions"),
        ({"denied": {"ADD": "no"}}, "ADD' is both allowed and denied|ADD.* is both"),
        ({"denied": {"TANH": ""}}, "TANH must be a text"),
        ({"limits": [{"property": "colour", "max": 1, "source": "s"}]}, "property takes batch"),
        ({"limits": [{"property": "rank", "source": "s"}]}, "min or max is missing"),
        ({"limits": [{"property": "rank", "min": 5, "max": 4, "source": "s"}]}, "min is above max"),
        ({"limits": [{"property": "rank", "max": 4}]}, "'source' is missing"),
        ({"limits": {"property": "rank"}}, "must be a list of tables"),
        ({"kernel_widths": [{"channels": 0, "source": "s"}]}, "above 0"),
        ({"slow_kernels": [{"precisions": ["int8"], "source": "s"}]}, "'reason' is missing"),
        ({"gains": [{"method": "channels", "effect": "flash", "source": "s"}]}, "method takes sparse, clusters"),
        ({"gains": [{"method": "sparse", "effect": "speed", "source": "s"}]}, "effect takes flash, latency"),
        ({"gains": [{"method": "sparse", "pattern": "half", "effect": "flash", "source": "s"}]}, "like 2:4"),
        ({"sources": {}}, "'allowed' is missing"),
    ],
)
def test_what_does_not_hold_together_is_an_error(changes: dict[str, object], words: str) -> None:
    with pytest.raises(UsageError, match=words) as raised:
        _rules(**changes)
    assert "our-npu.toml" in str(raised.value)


def test_the_id_is_the_name_of_the_file(tmp_path: Path) -> None:
    text = 'id = "a"\nname = "A"\napplies_to = ["vela"]\nvocabulary = "tflite"\notherwise = "cpu"\n'
    (tmp_path / "b.toml").write_text(text)
    with pytest.raises(UsageError, match="id must be the name of the file"):
        read_rules(tmp_path / "b.toml")


def test_operators_of_shipped_limits_are_among_those_allowed(tmp_path: Path) -> None:
    strangers = [
        (rules.id, operator)
        for rules in read_all_rules(tmp_path)
        if rules.allowed is not None
        for each in (*rules.limits, *rules.slow_kernels, *rules.kernel_widths)
        for operator in each.operators
        if operator not in rules.allowed
    ]
    strangers += [
        (rules.id, operator)
        for rules in read_all_rules(tmp_path)
        if rules.allowed is not None
        for operator in rules.conditions
        if operator not in rules.allowed
    ]
    assert strangers == []


def test_shipped_operator_names_are_those_of_the_formats(tmp_path: Path) -> None:
    schema = pytest.importorskip("ai_edge_litert.schema_py_generated", reason="the names of TFLite's operators")
    onnx = pytest.importorskip("onnx")
    names = {
        "tflite": set(vars(schema.BuiltinOperator)),
        "onnx": {each.name for each in onnx.defs.get_all_schemas()},
    }
    wrong = [
        (rules.id, operator)
        for rules in read_all_rules(tmp_path)
        for operator in (*(rules.allowed or ()), *rules.denied)
        if operator not in names[rules.vocabulary]
    ]
    assert wrong == []
