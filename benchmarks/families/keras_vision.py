"""Convolutional networks in Keras. Each builder takes the Keras module: version 3, or version 2 (`tf_keras`)."""

from __future__ import annotations

from typing import Any

import numpy as np

from families.network import Network

_SEED = 7


def finish(keras: Any, inputs: list[Any], outputs: list[Any], names: tuple[str, ...], **options: Any) -> Network:
    """Return the network between inputs and outputs, with statistics and norms as training would have left them."""
    model = keras.Model(inputs if len(inputs) > 1 else inputs[0], outputs if len(outputs) > 1 else outputs[0])
    rng = np.random.default_rng(_SEED)
    for layer in model.layers:
        kind = type(layer).__name__
        if kind == "BatchNormalization":
            n = layer.get_weights()[0].shape
            spread = [rng.uniform(0.5, 1.5, n), rng.normal(0, 0.2, n), rng.normal(0, 0.2, n), rng.uniform(0.5, 1.5, n)]
            layer.set_weights(spread)
        elif kind == "LayerNormalization":
            n = layer.get_weights()[0].shape
            layer.set_weights([rng.uniform(0.5, 1.5, n), rng.normal(0, 0.2, n)])
    shapes = {tensor.name: tuple(tensor.shape) for tensor in inputs}
    return Network(model=model, shapes=shapes, outputs=names, **options)


def _start(keras: Any) -> Any:
    keras.backend.clear_session()
    keras.utils.set_random_seed(_SEED)
    return keras.layers


def cnn(keras: Any) -> Network:
    """Return convolutions, BatchNorm and ReLU with two residual blocks, the second with stride 2."""
    layers = _start(keras)

    def norm(x: Any) -> Any:
        return layers.BatchNormalization()(x)

    image = keras.Input((32, 32, 3), name="image")
    x = layers.ReLU()(norm(layers.Conv2D(16, 3, padding="same")(image)))
    for units, stride in ((16, 1), (32, 2)):
        y = layers.ReLU()(norm(layers.Conv2D(units, 3, stride, padding="same", use_bias=False)(x)))
        y = norm(layers.Conv2D(units, 3, padding="same", use_bias=False)(y))
        short = layers.Conv2D(units, 1, stride)(x) if stride > 1 else x
        x = layers.ReLU()(layers.Add()([y, short]))
    x = layers.GlobalAveragePooling2D()(layers.MaxPooling2D(3, 2, padding="same")(x))
    return finish(keras, [image], [layers.Dense(10, name="scores")(x)], ("scores",))


def depthwise(keras: Any) -> Network:
    """Return inverted residual blocks as MobileNet v2 has them."""
    layers = _start(keras)

    def block(x: Any, units: int, stride: int) -> Any:
        before = x.shape[-1]
        y = layers.ReLU(6.0)(layers.BatchNormalization()(layers.Conv2D(4 * before, 1, use_bias=False)(x)))
        y = layers.DepthwiseConv2D(3, stride, padding="same", use_bias=False)(y)
        y = layers.ReLU(6.0)(layers.BatchNormalization()(y))
        y = layers.BatchNormalization()(layers.Conv2D(units, 1, use_bias=False)(y))
        return layers.Add()([x, y]) if stride == 1 and before == units else y

    image = keras.Input((32, 32, 3), name="image")
    x = layers.Conv2D(8, 3, 2, use_bias=False)(layers.ZeroPadding2D(((0, 1), (0, 1)))(image))
    x = layers.ReLU(6.0)(layers.BatchNormalization()(x))
    x = block(block(block(x, 8, 1), 16, 2), 16, 1)
    scores = layers.Dense(10, activation="softmax", name="scores")(layers.GlobalAveragePooling2D()(x))
    return finish(keras, [image], [scores], ("scores",))


def squeeze_excite(keras: Any) -> Network:
    """Return blocks as MobileNet v3 has them: hard-swish, and channels weighed by a hard sigmoid."""
    layers = _start(keras)

    def hard_sigmoid(x: Any) -> Any:
        return layers.Rescaling(1 / 6)(layers.ReLU(6.0)(layers.Rescaling(1.0, offset=3.0)(x)))

    def hard_swish(x: Any) -> Any:
        return layers.Multiply()([x, hard_sigmoid(x)])

    image = keras.Input((32, 32, 3), name="image")
    x = hard_swish(layers.Conv2D(16, 3, 2, padding="same")(image))
    for _ in range(2):
        y = layers.BatchNormalization()(layers.DepthwiseConv2D(5, padding="same", use_bias=False)(x))
        y = hard_swish(y)
        weight = layers.GlobalAveragePooling2D(keepdims=True)(y)
        weight = hard_sigmoid(layers.Conv2D(16, 1)(layers.Conv2D(8, 1, activation="relu")(weight)))
        x = layers.Add()([x, layers.Conv2D(16, 1)(layers.Multiply()([y, weight]))])
    scores = layers.Dense(10, name="scores")(layers.GlobalAveragePooling2D()(x))
    return finish(keras, [image], [scores], ("scores",))


def detector(keras: Any) -> Network:
    """Return two maps of different scale whose heads are joined to boxes `[n, 405, 4]` and scores `[n, 405, 5]`."""
    layers = _start(keras)
    image = keras.Input((36, 36, 3), name="image")
    fine = layers.Conv2D(16, 3, 2, padding="same", activation="relu")(image)
    coarse = layers.Conv2D(32, 3, 2, padding="same", activation="swish")(fine)
    maps = [layers.Concatenate()([fine, layers.UpSampling2D(2, interpolation="nearest")(coarse)]), coarse]
    boxes = [layers.Reshape((-1, 4))(layers.Conv2D(4, 3, padding="same")(one)) for one in maps]
    scores = [layers.Reshape((-1, 5))(layers.Conv2D(5, 3, padding="same")(one)) for one in maps]
    joined = layers.Activation("sigmoid")(layers.Concatenate(axis=1)(boxes))
    outputs = [
        layers.Rescaling(40.0, offset=-4.0, name="boxes")(joined),
        layers.Softmax(name="scores")(layers.Concatenate(axis=1)(scores)),
    ]
    return finish(keras, [image], outputs, ("boxes", "scores"))


def many(keras: Any) -> Network:
    """Return a network of an image, a vector and a token, which answers a class, a value and its features."""
    layers = _start(keras)
    image = keras.Input((15, 15, 3), name="image")
    vector = keras.Input((5,), name="vector")
    token = keras.Input((1,), name="token", dtype="int32")
    seen = layers.GlobalAveragePooling2D()(layers.Conv2D(8, 3, 2, activation="relu")(image))
    word = layers.Flatten()(layers.Embedding(12, 8)(token))
    features = layers.Concatenate(name="features")([seen, layers.Dense(8, activation="tanh")(vector), word])
    kind = layers.Dense(4, activation="softmax", name="kind")(features)
    value = layers.Dense(1, name="value")(features)
    names = ("kind", "value", "features")
    return finish(keras, [image, vector, token], [kind, value, features], names, vocabulary={"token": 12})


def dynamic_axis(keras: Any) -> Network:
    """Return a convolutional network over time whose batch and length are free."""
    layers = _start(keras)
    signal = keras.Input((None, 6), name="signal")
    x = layers.Conv1D(16, 3, padding="same", activation="relu")(signal)
    y = layers.Conv1D(16, 3, padding="same", dilation_rate=2, activation="relu")(x)
    scores = layers.Dense(4, name="scores")(layers.GlobalAveragePooling1D()(layers.Add()([x, y])))
    return finish(keras, [signal], [scores], ("scores",))
