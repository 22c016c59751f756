"""Convert a live object of a running framework: `python -m families.convert_live FRAMEWORK FAMILY FORMAT OUT`.

Prints the document of `edgeai convert --json`, or the error.
"""

from __future__ import annotations

import importlib
import json
import sys
import warnings
from pathlib import Path

from families.table import build_keras, build_torch


def main() -> None:
    """Build the family and hand the object to `edgeai.convert`."""
    warnings.simplefilter("ignore")
    import edgeai
    from edgeai_runtime.errors import EdgeAIError

    framework, family, format, out = sys.argv[1:]
    if framework == "torch":
        network = build_torch(family)
        shapes = {name: tuple(-1 if size is None else size for size in shape) for name, shape in network.shapes.items()}
    else:
        network = build_keras(family, importlib.import_module("keras"))
        shapes = None
    try:
        document = edgeai.convert(network.model, format, out=Path(out), input_shapes=shapes).to_json()
    except EdgeAIError as error:
        document = {"error": error.to_json()}
    print(json.dumps(document))


if __name__ == "__main__":
    main()
