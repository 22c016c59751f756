"""Calls of layers with tensors by keyword, as Keras 2 wrote them."""

from __future__ import annotations

from typing import Any

from edgeai_converters.sources.keras_nodes import mend_nodes


def _config(*inbound: list[Any]) -> dict[str, Any]:
    layers = [{"name": name, "config": {"name": name}, "inbound_nodes": []} for name in ("x", "m")]
    return {"config": {"layers": [*layers, {"name": "y", "config": {"name": "y"}, "inbound_nodes": list(inbound)}]}}


def _history(tensor: dict[str, Any]) -> Any:
    return tensor["config"]["keras_history"]


def test_a_tensor_by_keyword_becomes_one_of_keras_3() -> None:
    config = _config([["x", 0, 0, {"value": ["m", 0, 1], "use_causal_mask": True}]])
    assert mend_nodes(config)
    call = config["config"]["layers"][2]["inbound_nodes"][0]
    assert [_history(tensor) for tensor in call["args"]] == [["x", 0, 0]]
    assert _history(call["kwargs"]["value"]) == ["m", 0, 1]
    assert call["kwargs"]["use_causal_mask"] is True


def test_several_inputs_stay_one_list_and_lists_by_keyword_are_followed() -> None:
    config = _config([["x", 0, 0, {"initial_state": [["m", 0, 0], ["x", 0, 0]]}], ["m", 0, 0, {}]])
    assert mend_nodes(config)
    call = config["config"]["layers"][2]["inbound_nodes"][0]
    assert [_history(tensor) for tensor in call["args"][0]] == [["x", 0, 0], ["m", 0, 0]]
    assert [_history(tensor) for tensor in call["kwargs"]["initial_state"]] == [["m", 0, 0], ["x", 0, 0]]


def test_calls_without_tensors_by_keyword_stay_as_they_are() -> None:
    config = _config([["x", 0, 0, {"axis": [1, 2, 3], "mode": ["nobody", 0, 0]}]], [["x", 0, 0, {}]])
    before = [list(node) for node in config["config"]["layers"][2]["inbound_nodes"]]
    assert not mend_nodes(config)
    assert config["config"]["layers"][2]["inbound_nodes"] == before


def test_a_model_inside_a_model_is_mended_too() -> None:
    outer = {"layers": [{"name": "inner", **_config([["x", 0, 0, {"value": ["m", 0, 0]}]]), "inbound_nodes": []}]}
    assert mend_nodes(outer)
    inner: Any = outer["layers"][0]["config"]
    assert isinstance(inner["layers"][2]["inbound_nodes"][0], dict)


def test_states_beside_the_input_of_a_recurrent_layer_become_its_initial_state() -> None:
    config = _config([["x", 0, 0, {}], ["m", 0, 0, {}], ["m", 0, 1, {}]])
    config["config"]["layers"][2]["class_name"] = "LSTM"
    assert mend_nodes(config)
    call = config["config"]["layers"][2]["inbound_nodes"][0]
    assert [_history(tensor) for tensor in call["args"]] == [["x", 0, 0]]
    assert [_history(tensor) for tensor in call["kwargs"]["initial_state"]] == [["m", 0, 0], ["m", 0, 1]]


def test_several_inputs_of_another_layer_are_no_states() -> None:
    config = _config([["x", 0, 0, {}], ["m", 0, 0, {}]])
    config["config"]["layers"][2]["class_name"] = "Concatenate"
    assert not mend_nodes(config)
