"""Transformers in Keras (version 3 or 2), batch free, of layers alone so that every file format can hold them."""

from __future__ import annotations

import math
from typing import Any

from families.keras_vision import finish
from families.network import Network

_SEED = 13
_LENGTH, _WIDTH, _HEADS = 12, 32, 4


def _start(keras: Any) -> Any:
    keras.backend.clear_session()
    keras.utils.set_random_seed(_SEED)
    return keras.layers


def _gelu_tanh(layers: Any, x: Any) -> Any:
    """Return `x / 2 · (1 + tanh(√(2/π) (x + 0.044715 x³)))`."""
    cube = layers.Rescaling(0.044715)(layers.Multiply()([x, x, x]))
    inner = layers.Rescaling(math.sqrt(2 / math.pi))(layers.Add()([x, cube]))
    return layers.Multiply()([x, layers.Rescaling(0.5, offset=0.5)(layers.Activation("tanh")(inner))])


def encoder_gelu(keras: Any) -> Network:
    """Return two blocks, norm first, with the exact GELU."""
    layers = _start(keras)
    tokens = keras.Input((_LENGTH, 8), name="tokens")
    x = layers.Dense(_WIDTH)(tokens)
    for _ in range(2):
        y = layers.LayerNormalization()(x)
        x = layers.Add()([x, layers.MultiHeadAttention(_HEADS, _WIDTH // _HEADS)(y, y)])
        y = layers.Dense(64, activation="gelu")(layers.LayerNormalization()(x))
        x = layers.Add()([x, layers.Dense(_WIDTH)(y)])
    scores = layers.Dense(5, name="scores")(layers.GlobalAveragePooling1D()(layers.LayerNormalization()(x)))
    return finish(keras, [tokens], [scores], ("scores",))


def encoder_gelu_tanh(keras: Any) -> Network:
    """Return a text encoder: embedding, norm last, the tanh GELU."""
    layers = _start(keras)
    tokens = keras.Input((_LENGTH,), name="tokens", dtype="int32")
    x = layers.Embedding(50, _WIDTH, embeddings_initializer="random_normal")(tokens)
    for _ in range(2):
        x = layers.LayerNormalization()(layers.Add()([x, layers.MultiHeadAttention(_HEADS, _WIDTH // _HEADS)(x, x)]))
        y = layers.Dense(_WIDTH)(_gelu_tanh(layers, layers.Dense(64)(x)))
        x = layers.LayerNormalization()(layers.Add()([x, y]))
    scores = layers.Dense(5, name="scores")(layers.GlobalAveragePooling1D()(x))
    return finish(keras, [tokens], [scores], ("scores",), vocabulary={"tokens": 50})


def decoder(keras: Any) -> Network:
    """Return one step of a decoder: two blocks of one head, keys and values of 10 past steps come in and go out."""
    layers = _start(keras)
    token = keras.Input((1,), name="token", dtype="int32")
    x = layers.Embedding(50, _WIDTH, embeddings_initializer="random_normal")(token)
    caches, after = [], []
    for number in range(2):
        keys = keras.Input((10, _WIDTH), name=f"keys_{number}")
        values = keras.Input((10, _WIDTH), name=f"values_{number}")
        caches += [keys, values]
        y = layers.LayerNormalization()(x)
        all_keys = layers.Concatenate(axis=1)([keys, layers.Dense(_WIDTH)(y)])
        all_values = layers.Concatenate(axis=1)([values, layers.Dense(_WIDTH)(y)])
        match = layers.Dot(axes=2)([layers.Dense(_WIDTH)(y), all_keys])
        weights = layers.Softmax()(layers.Rescaling(_WIDTH**-0.5)(match))
        x = layers.Add()([x, layers.Dense(_WIDTH)(layers.Dot(axes=(2, 1))([weights, all_values]))])
        y = layers.Dense(_WIDTH)(layers.Dense(64, activation="swish")(layers.LayerNormalization()(x)))
        x = layers.Add()([x, y])
        after += [
            layers.Cropping1D((1, 0), name=f"keys_{number}_after")(all_keys),
            layers.Cropping1D((1, 0), name=f"values_{number}_after")(all_values),
        ]
    logits = layers.Dense(50, name="logits")(layers.LayerNormalization()(x))
    names = ("logits", *(f"{cache.name}_after" for cache in caches))
    return finish(keras, [token, *caches], [logits, *after], names, vocabulary={"token": 50})
