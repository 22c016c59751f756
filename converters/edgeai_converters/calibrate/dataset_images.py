"""Samples from image files: a folder with one folder per class, read lazily, one image at a time.

Images become uint8 arrays `[height, width, 3]` in RGB order (`[height, width, 1]` grey when the model has one channel),
in their own size: resizing is a preprocessing step, because the device has to do the same.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from edgeai_converters.calibrate.samples_labels import index_class_names
from edgeai_runtime.errors import DataError, MissingEngineError
from edgeai_runtime.manifest import TensorSpec

IMAGE_SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")


@dataclass(frozen=True, kw_only=True)
class ImageSamples:
    """Image files that feed one input, decoded when read."""

    where: str
    input_name: str
    files: tuple[Path, ...]
    mode: Literal["RGB", "L"]
    labels: NDArray[Any] | None = None
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.files)

    def read(self, indices: NDArray[np.int64]) -> Iterator[dict[str, NDArray[Any]]]:
        group: list[NDArray[np.uint8]] = []
        for index in indices:
            image = _decode(self.files[int(index)], self.mode)
            if group and group[0].shape != image.shape:
                yield {self.input_name: np.stack(group)}
                group = []
            group.append(image)
        if group:
            yield {self.input_name: np.stack(group)}

    def name(self, index: int) -> str:
        return str(self.files[index])


def read_image_folder(folder: Path, *, inputs: Sequence[TensorSpec], class_names: Sequence[str]) -> ImageSamples:
    """Take the images of a folder: one folder per class, or images alone (then without labels).

    Classes are numbered in the sorted order of their folders' names, unless `class_names` says otherwise; images are
    taken in the sorted order of their paths.

    Raises:
        DataError: no images, images beside class folders, a model with several inputs, an unknown class.
    """
    where = str(folder)
    spec = single_image_input(inputs, where)
    loose = _images_in(folder)
    folders = sorted(entry for entry in folder.iterdir() if entry.is_dir() and not entry.name.startswith("."))
    by_class = {entry.name: _images_below(entry) for entry in folders}
    empty = [name for name, files in by_class.items() if not files]
    by_class = by_class if len(empty) < len(by_class) else {}
    if not loose and not by_class:
        raise DataError(
            f"{where}: there are no images in it.",
            hint=f"Put one folder per class there, with images inside ({', '.join(IMAGE_SUFFIXES)}).",
        )
    if loose and by_class:
        raise DataError(
            f"{where}: there are images both beside and inside the class folders ({loose[0].name}, "
            f"{next(iter(by_class))}/…), so their classes are not clear.",
            hint="Move all images into class folders, or list them in a CSV file with the columns file,label.",
        )
    if loose:
        return ImageSamples(
            where=where,
            input_name=spec.name,
            files=tuple(loose),
            mode=image_mode(spec),
            notes=(f"{where}: no class folders, so no labels.",),
        )
    files = [file for class_files in by_class.values() for file in class_files]
    values = [name for name, class_files in by_class.items() for _ in class_files]
    # A class without images keeps its number: the model was trained with it.
    labels, names = index_class_names(values, class_names=class_names or tuple(by_class), where=where)
    notes: tuple[str, ...] = (
        () if class_names else (f"{where}: {len(names)} classes in sorted order of their folders.",)
    )
    if empty:
        notes += (f"{where}: no images of {len(empty)} classes: {', '.join(empty)}.",)
    return ImageSamples(
        where=where,
        input_name=spec.name,
        files=tuple(files),
        mode=image_mode(spec),
        labels=labels,
        class_names=names,
        notes=notes,
    )


def single_image_input(inputs: Sequence[TensorSpec], where: str) -> TensorSpec:
    """Return the one input that images feed.

    Raises:
        DataError: the model has several inputs.
    """
    if len(inputs) != 1:
        raise DataError(
            f"{where}: images feed one input, and the model has {len(inputs)}: "
            f"{', '.join(spec.name for spec in inputs)}.",
            hint="Give a .npz file with one array per input, or module:function.",
        )
    return inputs[0]


def image_mode(spec: TensorSpec) -> Literal["RGB", "L"]:
    """Return how images are decoded for this input: grey when it has one channel (first or last), else RGB."""
    sample_shape = spec.shape[1:]
    one_channel = len(sample_shape) == 2 or (len(sample_shape) == 3 and 1 in (sample_shape[0], sample_shape[2]))
    return "L" if one_channel else "RGB"


def _images_in(folder: Path) -> list[Path]:
    return sorted(file for file in folder.iterdir() if _is_image(file))


def _images_below(folder: Path) -> list[Path]:
    return sorted(file for file in folder.rglob("*") if _is_image(file))


def _is_image(file: Path) -> bool:
    return file.suffix.lower() in IMAGE_SUFFIXES and not file.name.startswith(".") and file.is_file()


def _decode(file: Path, mode: Literal["RGB", "L"]) -> NDArray[np.uint8]:
    try:
        from PIL import Image
    except ImportError as error:
        raise MissingEngineError("Reading images needs Pillow.", hint="pip install pillow") from error
    try:
        with Image.open(file) as image:
            pixels = np.asarray(image.convert(mode), dtype=np.uint8)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise DataError(
            f"{file}: the image cannot be decoded: {error}", hint="Remove the file or save it again."
        ) from error
    return pixels[..., None] if mode == "L" else pixels
