"""`--to android`: model, labels and a Kotlin wrapper with the bundle's pre- and post-processing, laid out as a module.

src/main/assets/digits.tflite, digits_labels.txt, digits_golden.bin
src/main/kotlin/edgeai/digits/DigitsModel.kt        the wrapper; needs LiteRT's interpreter and no Android
src/main/kotlin/edgeai/digits/Tensor.kt             what the steps are made of
src/main/kotlin/edgeai/digits/DigitsModelAssets.kt  opens the model in the app's assets
src/androidTest/kotlin/edgeai/digits/DigitsModelTest.kt
"""

from __future__ import annotations

from typing import Any

from edgeai.exporting.app_files import app_facts, asset_files
from edgeai.exporting.app_model import camel, describe_app_model, filled, in_calls
from edgeai.exporting.app_steps import Argument, Calls
from edgeai.exporting.made import Made
from edgeai.exporting.rendering import comment, fill_template, float_literal
from edgeai.exporting.subject import Subject
from edgeai.exporting.table import Target

DEPENDENCY = "com.google.ai.edge.litert:litert"

SIZES = {"float32": 4, "int8": 1, "uint8": 1, "int16": 2, "int32": 4, "int64": 8, "bool": 1}
"""Bytes of an element in the engine's memory."""

_PUT = {"int8": "put", "uint8": "put", "int16": "putShort", "int32": "putInt", "int64": "putLong"}
_NARROW = {"int8": ".toByte()", "uint8": ".toByte()", "int16": ".toShort()", "int32": "", "int64": ""}
_GET = {
    "float32": "memory.getFloat()",
    "int8": "memory.get().toFloat()",
    "uint8": "(memory.get().toInt() and 0xff).toFloat()",
    "int16": "memory.getShort().toFloat()",
    "int32": "memory.getInt().toFloat()",
    "int64": "memory.getLong().toFloat()",
    "bool": "memory.get().toFloat()",
}
_WORDS = """
as break class continue do else false for fun if in interface is null object package return super this throw true try
typealias typeof val var when while samples golden labels
"""
_RESERVED = frozenset(_WORDS.split())
"""Words that are no names of parameters: Kotlin's own, and those of the wrapper."""


def make_android(subject: Subject, target: Target) -> Made:
    """Return the files of a module's source folders.

    Raises:
        ModelError: free dimensions other than the batch, or a type that the wrapper does not write.
    """
    model = describe_app_model(subject, reserved=_RESERVED)
    asset, type_name = "_".join(subject.words), camel(subject.words)
    package = f"edgeai.{'_'.join(subject.words)}"
    values: dict[str, Any] = {
        "origin": comment(subject.origin),
        "name": subject.name,
        "asset": asset,
        "type": type_name,
        "package": package,
        "labels": bool(subject.labels),
        "samples": model.samples,
        "inputs": [filled(each, text=_argument, separator=" = ") for each in model.inputs],
        "outputs": [filled(each, text=_argument, separator=" = ") for each in model.outputs],
        "sizes": SIZES,
        "put": _PUT,
        "narrow": _NARROW,
        "get": _GET,
    }
    code = f"src/main/kotlin/{package.replace('.', '/')}"
    files: dict[str, str | bytes] = {
        **asset_files(subject, model, folder="src/main/assets"),
        f"{code}/{type_name}Model.kt": fill_template("model.kt.j2", **values),
        f"{code}/{type_name}ModelAssets.kt": fill_template("assets.kt.j2", **values),
        f"{code}/Tensor.kt": fill_template("tensor.kt.j2", **values),
    }
    if model.samples:
        test = f"src/androidTest/kotlin/{package.replace('.', '/')}/{type_name}ModelTest.kt"
        files[test] = fill_template("model_test.kt.j2", **values)
    return Made(
        files=files,
        notes=(f'Needs `implementation("{DEPENDENCY}:…")` in the module\'s build.gradle.kts.', *model.notes),
        facts=app_facts(subject, model),
    )


def kotlin_calls(calls: Calls) -> str:
    """Return calls on a tensor as Kotlin: `.scale(factor = 2.0f, offset = 0.0f)`."""
    return in_calls(calls, _argument, " = ")


def _argument(value: Argument) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return f"{float_literal(value)}f"
    kind = "intArrayOf" if all(isinstance(each, int) for each in value) else "floatArrayOf"
    return f"{kind}({', '.join(_argument(each) for each in value)})"
