"""The families: what they are for, and who builds them in PyTorch and in Keras."""

from __future__ import annotations

import importlib
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from families.network import Network


@dataclass(frozen=True, kw_only=True)
class Family:
    """One family of architectures.

    Attributes:
        title: what it is, for tables.
        torch: `module:function` that builds it in PyTorch; empty when it makes no sense there.
        keras: `module:function` that builds it from the Keras module it is given; empty likewise.
    """

    title: str
    torch: str = ""
    keras: str = ""


FAMILIES: dict[str, Family] = {
    "cnn": Family(
        title="plain CNN with residual connections",
        torch="families.torch_vision:cnn",
        keras="families.keras_vision:cnn",
    ),
    "depthwise": Family(
        title="depthwise CNN with residual connections",
        torch="families.torch_vision:depthwise",
        keras="families.keras_vision:depthwise",
    ),
    "squeeze_excite": Family(
        title="squeeze-and-excite blocks with hard-swish",
        torch="families.torch_vision:squeeze_excite",
        keras="families.keras_vision:squeeze_excite",
    ),
    "detector": Family(
        title="detector head: boxes and scores of two scales",
        torch="families.torch_vision:detector",
        keras="families.keras_vision:detector",
    ),
    "lstm": Family(
        title="LSTM, two layers", torch="families.torch_recurrent:lstm", keras="families.keras_recurrent:lstm"
    ),
    "gru": Family(title="GRU", torch="families.torch_recurrent:gru", keras="families.keras_recurrent:gru"),
    "simple_rnn": Family(
        title="simple RNN", torch="families.torch_recurrent:simple_rnn", keras="families.keras_recurrent:simple_rnn"
    ),
    "lstm_state": Family(
        title="LSTM with its state as inputs and outputs",
        torch="families.torch_recurrent:lstm_state",
        keras="families.keras_recurrent:lstm_state",
    ),
    "gru_state": Family(
        title="GRU with its state as input and output",
        torch="families.torch_recurrent:gru_state",
        keras="families.keras_recurrent:gru_state",
    ),
    "bidirectional": Family(
        title="bidirectional LSTM and GRU",
        torch="families.torch_recurrent:bidirectional",
        keras="families.keras_recurrent:bidirectional",
    ),
    "encoder_gelu": Family(
        title="transformer encoder, exact GELU",
        torch="families.torch_attention:encoder_gelu",
        keras="families.keras_attention:encoder_gelu",
    ),
    "encoder_gelu_tanh": Family(
        title="transformer encoder, tanh GELU",
        torch="families.torch_attention:encoder_gelu_tanh",
        keras="families.keras_attention:encoder_gelu_tanh",
    ),
    "decoder": Family(
        title="decoder step, key/value cache as inputs and outputs",
        torch="families.torch_attention:decoder",
        keras="families.keras_attention:decoder",
    ),
    "many": Family(
        title="several inputs and outputs", torch="families.torch_vision:many", keras="families.keras_vision:many"
    ),
    "dynamic_batch": Family(title="free batch", torch="families.torch_vision:dynamic_batch"),
    "dynamic_axis": Family(
        title="free batch and one more free axis",
        torch="families.torch_vision:dynamic_axis",
        keras="families.keras_vision:dynamic_axis",
    ),
}
"""Name → family. In Keras every batch is free, in PyTorch only where the family says so."""


def build_torch(name: str) -> Network:
    """Build a family in PyTorch."""
    network: Network = _function(FAMILIES[name].torch)()
    return network


def build_keras(name: str, keras: Any) -> Network:
    """Build a family with the given module: `keras` (version 3) or `tf_keras` (version 2)."""
    network: Network = _function(FAMILIES[name].keras)(keras)
    return network


def _function(text: str) -> Callable[..., Any]:
    module, _, function = text.partition(":")
    found: Callable[..., Any] = getattr(importlib.import_module(module), function)
    return found
