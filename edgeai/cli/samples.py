"""Reading the input of `edgeai run`, and saving its outputs."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from edgeai_runtime.errors import DataError, MissingEngineError

if TYPE_CHECKING:
    from numpy.typing import NDArray

_IMAGES = {".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm"}


def read_samples(path: Path) -> NDArray[Any] | dict[str, NDArray[Any]]:
    """Read the arrays in `path`.

    A `.npy` gives one array; a `.npz` gives its only array, or a dict by input name (labels `y` beside `x` are left
    out); an image gives `[1, height, width, 3]` uint8 in RGB, or `[1, height, width, 1]` when it is grey.

    Raises:
        DataError: not one of these, damaged, or empty.
    """
    import numpy as np

    suffix = path.suffix.lower()
    if suffix in _IMAGES:
        return _read_image(path)
    if suffix not in (".npy", ".npz"):
        raise DataError(f"{path}: --input takes a .npy, a .npz or an image.", hint=f"Received: {suffix or 'no suffix'}")
    try:
        with path.open("rb") as file:  # np.load would leave the file open when the archive is bad
            loaded: Any = np.load(file, allow_pickle=False)
            if suffix == ".npy" and isinstance(loaded, np.ndarray):
                return loaded
            arrays: dict[str, NDArray[Any]] = {name: loaded[name] for name in loaded.files}
    except (OSError, ValueError, EOFError, KeyError, AttributeError) as error:
        raise DataError(f"{path} cannot be read as {suffix}: {error}") from error
    except Exception as error:  # zipfile.BadZipFile, zlib.error, tokenize errors: numpy lets them through as they are
        raise DataError(f"{path} is damaged: {error}") from error
    if not arrays:
        raise DataError(f"{path} holds no arrays.")
    if set(arrays) == {"x", "y"}:
        return arrays["x"]
    return next(iter(arrays.values())) if len(arrays) == 1 else arrays


def save_arrays(path: Path, outputs: Mapping[str, Any]) -> None:
    """Save outputs as `.npz`, beside first, then renamed."""
    import numpy as np

    beside = path.with_name(f".{path.name}.part")
    try:
        with beside.open("wb") as file:
            np.savez(file, **{name: np.asarray(value) for name, value in outputs.items()})  # type: ignore[arg-type]
        beside.replace(path)
    finally:
        beside.unlink(missing_ok=True)


def _read_image(path: Path) -> NDArray[Any]:
    import numpy as np

    try:
        from PIL import Image
    except ImportError as error:
        raise MissingEngineError("Reading images needs the package pillow.", hint="pip install pillow") from error
    try:
        with Image.open(path) as image:
            grey = image.mode in ("1", "L", "I;16")
            pixels = np.asarray(image.convert("L" if grey else "RGB"), dtype=np.uint8)
    except (OSError, SyntaxError, ValueError) as error:
        raise DataError(f"{path} cannot be read as an image: {error}") from error
    return pixels[None, :, :, None] if grey else pixels[None]
