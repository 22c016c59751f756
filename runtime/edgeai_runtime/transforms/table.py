"""The operations that steps can name. A new one is a function and a line here.

Every operation takes a batch [n, …]; what it does to shapes and dtypes is in the docstring of its function.
"""

from __future__ import annotations

from edgeai_runtime.manifest_checks import DTYPES
from edgeai_runtime.transforms import image, numeric, scores
from edgeai_runtime.transforms.operation import (
    Operation,
    Parameter,
    count,
    indices,
    inner_axis,
    integer,
    layout_name,
    number,
    numbers,
    one_of,
    positive_number,
    positive_numbers,
    side,
)

_AXIS = Parameter(name="axis", check=inner_axis, default=-1)
_HEIGHT = Parameter(name="height", check=side)
_WIDTH = Parameter(name="width", check=side)
_LAYOUT = Parameter(name="layout", check=one_of(*image.IMAGE_LAYOUTS), default="NHWC")

OPERATIONS: dict[str, Operation] = {
    "cast": Operation(run=numeric.cast, parameters=(Parameter(name="dtype", check=one_of(*DTYPES)),)),
    "scale": Operation(
        run=numeric.scale,
        parameters=(Parameter(name="factor", check=number), Parameter(name="offset", check=number, default=0)),
    ),
    "normalize": Operation(
        run=numeric.normalize,
        parameters=(Parameter(name="mean", check=numbers), Parameter(name="std", check=positive_numbers), _AXIS),
    ),
    "dequantize": Operation(
        run=numeric.dequantize,
        parameters=(
            Parameter(name="scale", check=positive_number),
            Parameter(name="zero_point", check=integer, default=0),
        ),
    ),
    "resize": Operation(
        run=image.resize,
        parameters=(
            _HEIGHT,
            _WIDTH,
            Parameter(name="method", check=one_of("nearest", "bilinear"), default="bilinear"),
            _LAYOUT,
        ),
    ),
    "crop": Operation(run=image.crop, parameters=(_HEIGHT, _WIDTH, _LAYOUT)),
    "channels": Operation(run=image.channels, parameters=(Parameter(name="order", check=indices), _AXIS)),
    "layout": Operation(
        run=image.layout,
        parameters=(
            Parameter(name="from", check=layout_name, argument="source"),
            Parameter(name="to", check=layout_name, argument="target"),
        ),
        together=image.check_layouts,
    ),
    "softmax": Operation(run=scores.softmax, parameters=(_AXIS,)),
    "argmax": Operation(run=scores.argmax, parameters=(_AXIS,)),
    "labels": Operation(
        run=scores.labels,
        parameters=(Parameter(name="top", check=count, default=1),),
        takes_labels=True,
        ends=True,
    ),
}
