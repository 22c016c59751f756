"""`--to ios`: model, labels and a Swift wrapper with the bundle's pre- and post-processing.

Sources/DigitsModel.swift   the wrapper; needs TensorFlowLiteSwift
Sources/Tensor.swift        what the steps are made of
Resources/digits.tflite, digits_labels.txt, digits_golden.bin
Tests/DigitsModelTests.swift
"""

from __future__ import annotations

from typing import Any

from edgeai.exporting.app_files import app_facts, asset_files
from edgeai.exporting.app_model import camel, describe_app_model, filled
from edgeai.exporting.app_steps import Argument
from edgeai.exporting.made import Made
from edgeai.exporting.rendering import comment, fill_template, float_literal
from edgeai.exporting.subject import Subject
from edgeai.exporting.table import Target

DEPENDENCY = "TensorFlowLiteSwift"

_KINDS = {
    "float32": "Float",
    "int8": "Int8",
    "uint8": "UInt8",
    "int16": "Int16",
    "int32": "Int32",
    "int64": "Int64",
    "bool": "Bool",
}
_WORDS = """
associatedtype class deinit enum extension fileprivate func import init inout internal let open operator private
protocol public rethrows static struct subscript typealias var break case continue default defer do else
fallthrough for guard if in repeat return switch where while as catch false is nil super self throw throws true try
results names
"""
_RESERVED = frozenset(_WORDS.split())
"""Words that are no names of parameters: Swift's own, and those of the wrapper."""


def make_ios(subject: Subject, target: Target) -> Made:
    """Return the files to add to an app's target and to its tests.

    Raises:
        ModelError: free dimensions other than the batch, or a type that the wrapper does not write.
    """
    model = describe_app_model(subject, reserved=_RESERVED)
    asset, type_name = "_".join(subject.words), camel(subject.words)
    values: dict[str, Any] = {
        "origin": comment(subject.origin),
        "name": subject.name,
        "asset": asset,
        "type": type_name,
        "labels": bool(subject.labels),
        "label_count": len(subject.labels),
        "samples": model.samples,
        "inputs": [filled(each, text=_argument, separator=": ") for each in model.inputs],
        "outputs": [filled(each, text=_argument, separator=": ") for each in model.outputs],
        "kinds": _KINDS,
        "signed": _signed,
    }
    files: dict[str, str | bytes] = {
        **asset_files(subject, model, folder="Resources"),
        f"Sources/{type_name}Model.swift": fill_template("model.swift.j2", **values),
        "Sources/Tensor.swift": fill_template("tensor.swift.j2", **values),
    }
    if model.samples:
        files[f"Tests/{type_name}ModelTests.swift"] = fill_template("model_test.swift.j2", **values)
    return Made(
        files=files,
        notes=(f"Needs `pod '{DEPENDENCY}'`, and the files of Resources in the app's bundle.", *model.notes),
        facts=app_facts(subject, model),
    )


def _argument(value: Argument) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return str(value)
    if isinstance(value, float):
        return float_literal(value)
    return f"[{', '.join(_argument(each) for each in value)}]"


def _signed(value: int) -> str:
    """Return a number in parentheses when it is negative: Swift reads `+ -1` as it stands, and people do not."""
    return f"({value})" if value < 0 else str(value)
