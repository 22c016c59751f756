"""Recurrent networks in Keras (version 3 or 2), batch free."""

from __future__ import annotations

from typing import Any

from families.keras_vision import finish
from families.network import Network

_SEED = 11
_STEPS, _FEATURES, _UNITS = 9, 6, 16


def _start(keras: Any) -> tuple[Any, Any]:
    keras.backend.clear_session()
    keras.utils.set_random_seed(_SEED)
    return keras.layers, keras.Input((_STEPS, _FEATURES), name="steps")


def lstm(keras: Any) -> Network:
    """Return two LSTM layers and a dense one on the last step."""
    layers, steps = _start(keras)
    x = layers.LSTM(_UNITS, return_sequences=True)(steps)
    return finish(keras, [steps], [layers.Dense(4, name="scores")(layers.LSTM(_UNITS)(x))], ("scores",))


def gru(keras: Any) -> Network:
    """Return a GRU layer and a dense one on the last step."""
    layers, steps = _start(keras)
    return finish(keras, [steps], [layers.Dense(4, name="scores")(layers.GRU(_UNITS)(steps))], ("scores",))


def simple_rnn(keras: Any) -> Network:
    """Return a layer `tanh(Wx + Rh + b)` and a dense one on the last step."""
    layers, steps = _start(keras)
    return finish(keras, [steps], [layers.Dense(4, name="scores")(layers.SimpleRNN(_UNITS)(steps))], ("scores",))


def lstm_state(keras: Any) -> Network:
    """Return an LSTM that takes and gives its state, for streams."""
    layers, steps = _start(keras)
    hidden, cell = keras.Input((_UNITS,), name="hidden"), keras.Input((_UNITS,), name="cell")
    recurrent = layers.LSTM(_UNITS, return_sequences=True, return_state=True)
    x, hidden_after, cell_after = recurrent(steps, initial_state=[hidden, cell])
    outputs = [
        layers.Dense(4, name="scores")(x),
        layers.Activation("linear", name="hidden_after")(hidden_after),
        layers.Activation("linear", name="cell_after")(cell_after),
    ]
    return finish(keras, [steps, hidden, cell], outputs, ("scores", "hidden_after", "cell_after"))


def gru_state(keras: Any) -> Network:
    """Return a GRU that takes and gives its state, for streams."""
    layers, steps = _start(keras)
    hidden = keras.Input((_UNITS,), name="hidden")
    x, hidden_after = layers.GRU(_UNITS, return_sequences=True, return_state=True)(steps, initial_state=hidden)
    outputs = [layers.Dense(4, name="scores")(x), layers.Activation("linear", name="hidden_after")(hidden_after)]
    return finish(keras, [steps, hidden], outputs, ("scores", "hidden_after"))


def bidirectional(keras: Any) -> Network:
    """Return a bidirectional LSTM, a bidirectional GRU over it, and a dense layer on every step."""
    layers, steps = _start(keras)
    x = layers.Bidirectional(layers.LSTM(_UNITS, return_sequences=True))(steps)
    x = layers.Bidirectional(layers.GRU(_UNITS, return_sequences=True))(x)
    return finish(keras, [steps], [layers.Dense(4, name="scores")(x)], ("scores",))
