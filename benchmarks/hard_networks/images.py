"""Images drawn for the hard networks: handwritten digits, turned, stretched and tinted, on textured ground.

The handwriting is scikit-learn's `load_digits` (8 × 8 pixels, UCI, CC-BY-4.0). A digit that serves evaluation never
serves training. Images are float32 `[n, 3, size, size]` of linear light: 0 is black, 1 the white of paper, and a glint
(the image of a lamp on something shiny) reaches far beyond it, as it does in a sensor's data before tone mapping.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

_HELD_OUT = 600  # digits of 1797 that only evaluation sees
_CHUNK = 1000


@dataclass(frozen=True, kw_only=True)
class Scene:
    """How images are drawn.

    Attributes:
        size: height and width in pixels.
        smallest, largest: side of a digit in pixels.
        ground: strength of the texture below the digit.
        noise: standard deviation of the noise of each pixel.
        glints: share of images with a glint.
        glint_light: median light of a glint.
    """

    size: int = 24
    smallest: float = 13.0
    largest: float = 22.0
    ground: float = 0.2
    noise: float = 0.08
    glints: float = 0.0
    glint_light: float = 20.0


def draw_images(scene: Scene, n: int, *, seed: int, held_out: bool) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return images `[n, 3, size, size]` and, for each, `[class, left, top, right, bottom]` (pixels), float32 `[n, 5]`.

    The box encloses the ink of the digit. The same seed gives the same images.
    """
    from sklearn.datasets import load_digits

    rng = np.random.default_rng(seed)
    digits = load_digits()
    order = np.random.default_rng(0).permutation(len(digits.target))
    chosen = order[:_HELD_OUT] if held_out else order[_HELD_OUT:]
    images, labels = [], []
    for start in range(0, n, _CHUNK):
        picked = rng.choice(chosen, min(_CHUNK, n - start))
        some, boxes = _draw(scene, digits.images[picked].astype(np.float32) / 16, rng)
        images.append(some)
        labels.append(np.concatenate([digits.target[picked, None].astype(np.float32), boxes], axis=1))
    return np.concatenate(images), np.concatenate(labels)


def _draw(scene: Scene, glyphs: NDArray[np.float32], rng: Any) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    n = len(glyphs)
    ink = _place(scene, glyphs, rng)  # [n, size, size], 0 to 1
    boxes = _enclose(ink > 0.3)
    ground = _texture(scene, n, rng)
    paper = rng.uniform(0.2, 0.6, (n, 3, 1, 1)).astype(np.float32)
    tint = rng.uniform(-1, 1, (n, 3, 1, 1)).astype(np.float32)
    tint *= 0.6 / np.abs(tint).mean(axis=1, keepdims=True)
    images = paper + scene.ground * ground + ink[:, None] * tint
    images += scene.noise * rng.standard_normal(images.shape, dtype=np.float32)
    np.clip(images, 0, None, out=images)
    return (images + _glints(scene, n, rng)).astype(np.float32), boxes


def _place(scene: Scene, glyphs: NDArray[np.float32], rng: Any) -> NDArray[np.float32]:
    """Return the digits resampled (bilinear) to a drawn place, size, slant and angle: `[n, size, size]`."""
    n, size = len(glyphs), scene.size
    side = rng.uniform(scene.smallest, scene.largest, (2, n, 1, 1))
    side[1] = side[0] * rng.uniform(0.8, 1.25, (n, 1, 1))
    half = np.minimum(side.max(axis=0) / 2, size / 2)
    centre = half + rng.uniform(0, 1, (2, n, 1, 1)) * (size - 2 * half)
    angle, slant = rng.normal(0, 0.2, (n, 1, 1)), rng.normal(0, 0.15, (n, 1, 1))
    row, column = np.mgrid[0:size, 0:size] + 0.5
    down, right = row[None] - centre[0], column[None] - centre[1]
    down, right = np.cos(angle) * down - np.sin(angle) * right, np.sin(angle) * down + np.cos(angle) * right
    right = right + slant * down
    padded = np.pad(glyphs, ((0, 0), (1, 1), (1, 1)))
    y = np.clip(down / side[0] * 8 + 4.5, 0, 8.999)
    x = np.clip(right / side[1] * 8 + 4.5, 0, 8.999)
    top, left = y.astype(int), x.astype(int)
    y, x, which = y - top, x - left, np.arange(n)[:, None, None]
    upper = padded[which, top, left] * (1 - x) + padded[which, top, left + 1] * x
    lower = padded[which, top + 1, left] * (1 - x) + padded[which, top + 1, left + 1] * x
    return np.asarray(upper * (1 - y) + lower * y, dtype=np.float32)


def _texture(scene: Scene, n: int, rng: Any) -> NDArray[np.float32]:
    """Return gratings of drawn direction and width, in each colour another strength: `[n, 3, size, size]`."""
    row, column = np.mgrid[0 : scene.size, 0 : scene.size].astype(np.float32)
    total = np.zeros((n, 3, scene.size, scene.size), np.float32)
    for _ in range(2):
        angle, period, phase = (
            rng.uniform(low, high, (n, 1, 1)).astype(np.float32)
            for low, high in ((0, np.pi), (4, scene.size), (0, 2 * np.pi))
        )
        wave = np.sin((np.cos(angle) * row + np.sin(angle) * column) * (2 * np.pi / period) + phase)
        total += rng.uniform(-0.5, 0.5, (n, 3, 1, 1)).astype(np.float32) * wave[:, None]
    return total


def _glints(scene: Scene, n: int, rng: Any) -> NDArray[np.float32]:
    """Return round spots of light in some images, none in the others: `[n, 1, size, size]`."""
    row, column = np.mgrid[0 : scene.size, 0 : scene.size].astype(np.float32)
    there = rng.random((n, 1, 1)) < scene.glints
    light = scene.glint_light * rng.lognormal(0, 0.5, (n, 1, 1)) * there
    place = rng.uniform(0, scene.size, (2, n, 1, 1))
    width = rng.uniform(0.4, 0.8, (n, 1, 1))
    spot = light * np.exp(-((row - place[0]) ** 2 + (column - place[1]) ** 2) / (2 * width**2))
    return np.asarray(spot[:, None], dtype=np.float32)


def _enclose(ink: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Return `[left, top, right, bottom]` of what is true in each image, `[n, 4]`."""
    size = ink.shape[-1]
    columns, rows = np.any(ink, axis=1), np.any(ink, axis=2)
    edges = (columns.argmax(1), rows.argmax(1), size - columns[:, ::-1].argmax(1), size - rows[:, ::-1].argmax(1))
    return np.stack(edges, axis=1).astype(np.float32)
