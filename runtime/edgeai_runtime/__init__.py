"""edgeai's runtime for devices: numpy and one engine, nothing else.

    import edgeai_runtime as rt

    model = rt.load("digits.edge", placement=rt.Placement(prefer=("npu", "cpu")))
    probabilities = model(image)
    print(model.placement)

Names are imported when they are first used, so that `import edgeai_runtime` costs next to nothing.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from edgeai_runtime.bundle import Bundle as Bundle
    from edgeai_runtime.bundle import open_bundle as open_bundle
    from edgeai_runtime.bundle_verify import verify_bundle as verify_bundle
    from edgeai_runtime.errors import EdgeAIError as EdgeAIError
    from edgeai_runtime.loading import load as load
    from edgeai_runtime.model import Model as Model
    from edgeai_runtime.placement import Placement as Placement
    from edgeai_runtime.placement import PlacementReport as PlacementReport
    from edgeai_runtime.trust import Trust as Trust

__version__ = "0.1.0"

_PUBLIC = {
    "load": "loading",
    "Model": "model",
    "Placement": "placement",
    "PlacementReport": "placement",
    "Bundle": "bundle",
    "open_bundle": "bundle",
    "verify_bundle": "bundle_verify",
    "EdgeAIError": "errors",
    "Trust": "trust",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str) -> object:
    """Import a public name when it is first used (PEP 562)."""
    if name not in _PUBLIC:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(importlib.import_module(f"{__name__}.{_PUBLIC[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    """List the public names, imported or not."""
    return sorted(__all__)
