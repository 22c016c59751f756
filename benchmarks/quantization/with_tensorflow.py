"""TensorFlow's own converter, full int8 with a float boundary, from Keras."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

from quantization.job import Job


def full_int8(job: Job, folder: Path) -> Path:
    """Convert with a representative data set; recurrent networks need a fixed batch there."""
    import keras
    import tensorflow as tf

    model = keras.models.load_model(job.keras, compile=False)
    if any("GRU" in type(layer).__name__ or "LSTM" in type(layer).__name__ for layer in model.layers):
        single = keras.models.clone_model(model, input_tensors=keras.Input(batch_shape=(1, *model.input_shape[1:])))
        single.set_weights(model.get_weights())
        model = single

    def representative() -> Iterator[list[Any]]:
        for sample in job.calibration_samples():
            yield [sample]

    converter = tf.lite.TFLiteConverter.from_keras_model(model)
    converter.optimizations = [tf.lite.Optimize.DEFAULT]
    converter.representative_dataset = representative
    converter.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
    out = folder / "model.tflite"
    out.write_bytes(converter.convert())
    return out
