"""Calls of layers as Keras 2 wrote them into `.h5` files, in the form of Keras 3.

Keras 2 names a tensor that goes to a layer by keyword (`attention(x, value=y, attention_mask=m)`) as
`["layer", node, tensor]`. Keras 3 reads positional inputs of that form, and takes the ones by keyword for plain lists.
The states that a recurrent layer starts from stand beside its input there (`layer([x, h, c])`), and are a keyword of
their own in Keras 3.
"""

from __future__ import annotations

from typing import Any

_RECURRENT = frozenset({"RNN", "SimpleRNN", "LSTM", "GRU", "ConvLSTM1D", "ConvLSTM2D", "ConvLSTM3D", "Bidirectional"})


def mend_nodes(config: Any) -> bool:
    """Write calls as Keras 3 does, in place, in nested models too; tell whether any had to be.

    Args:
        config: the `model_config` of a file.
    """
    if isinstance(config, list):
        return True in [mend_nodes(entry) for entry in config]
    if not isinstance(config, dict):
        return False
    layers = config.get("layers")
    changed = False
    if isinstance(layers, list):
        names = {layer.get("name", layer.get("config", {}).get("name")) for layer in layers if isinstance(layer, dict)}
        for layer in layers:
            nodes = layer.get("inbound_nodes") if isinstance(layer, dict) else None
            if isinstance(nodes, list):
                for place, node in enumerate(nodes):
                    if not isinstance(node, list):
                        continue
                    states = layer.get("class_name") in _RECURRENT and len(node) > 1
                    if states or any(_by_keyword(entry, names) for entry in node):
                        nodes[place] = _call(node, names, states=states)
                        changed = True
    return True in [mend_nodes(entry) for entry in config.values()] or changed


def _by_keyword(entry: Any, names: set[Any]) -> bool:
    return isinstance(entry, list) and len(entry) == 4 and any(_has_tensor(item, names) for item in entry[3].values())


def _is_tensor(item: Any, names: set[Any]) -> bool:
    return isinstance(item, list) and len(item) >= 3 and isinstance(item[0], str) and item[0] in names


def _has_tensor(item: Any, names: set[Any]) -> bool:
    inside = item.values() if isinstance(item, dict) else item if isinstance(item, list) else ()
    return _is_tensor(item, names) or any(_has_tensor(entry, names) for entry in inside)


def _call(node: list[Any], names: set[Any], *, states: bool) -> dict[str, Any]:
    """Return a call, whose inputs after the first may be states; Keras 2 writes the keywords beside its first input."""
    tensors = [_tensor(entry) for entry in node]
    keywords = {name: value for entry in node if len(entry) == 4 for name, value in entry[3].items()}
    call: dict[str, Any] = {
        "args": tensors if len(tensors) == 1 else [tensors],
        "kwargs": {name: _value(value, names) for name, value in keywords.items()},
    }
    if states:
        if not call["kwargs"].get("constants"):  # Keras 3 has no such keyword
            call["kwargs"].pop("constants", None)
        call["args"], call["kwargs"]["initial_state"] = tensors[:1], tensors[1:]
    return call


def _value(item: Any, names: set[Any]) -> Any:
    if _is_tensor(item, names):
        return _tensor(item)
    if isinstance(item, list):
        return [_value(entry, names) for entry in item]
    if isinstance(item, dict):
        return {key: _value(entry, names) for key, entry in item.items()}
    return item


def _tensor(entry: list[Any]) -> dict[str, Any]:
    """Return a tensor as Keras 3 writes it; it is found by its history, whatever the shape and type said here."""
    return {
        "class_name": "__keras_tensor__",
        "config": {"shape": [None], "dtype": "float32", "keras_history": list(entry[:3])},
    }
