"""Draws the sample pictures: a shape to be recognised on a photograph-like background.

The one idea: natural pictures compress to about a tenth because most of their energy is in coarse structure. Gradients,
fractal textures and hard edges have that property, noise has not; so these cost about as much to decode as photographs of
the same size. Must not depend on TensorFlow or on any state: picture ``i`` of a seed is always the same.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

SHAPES = ("disc", "square", "triangle", "ring")
SIZES = ((480, 640), (600, 800), (576, 768), (720, 960))  # height, width
_TILE = 1024
_OCTAVES = (4, 8, 16, 32, 64, 128, 256, 512)

Picture = NDArray[np.uint8]
Plane = NDArray[np.float32]


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """What a picture is made of besides its shape: textures to cut from, made once for a seed."""

    seed: int
    textures: tuple[Plane, ...]

    @classmethod
    def create(cls, seed: int) -> Scene:
        """Make six textures, from smooth (clouds) to rough (gravel)."""
        rng = np.random.default_rng((seed, 0))
        return cls(
            seed=seed, textures=tuple(_fractal_texture(rng, roughness) for roughness in (0.35, 0.42, 0.5, 0.55, 0.6, 0.65))
        )


def draw_picture(scene: Scene, index: int) -> tuple[Picture, int]:
    """Return picture ``index`` of the scene as uint8 [height, width, 3], and its label, an index into ``SHAPES``."""
    rng = np.random.default_rng((scene.seed, 1, index))
    height, width = SIZES[int(rng.integers(len(SIZES)))]
    label = int(rng.integers(len(SHAPES)))
    picture = _surface(scene, rng, height, width)
    mask = _shape_mask(rng, label, height, width)
    np.copyto(picture, 255 - _surface(scene, rng, height, width), where=mask[:, :, np.newaxis])
    return picture, label


def draw_thumbnail(picture: Picture, size: int = 64) -> Picture:
    """Return the picture shrunk to ``size`` x ``size`` by taking every n-th pixel of its 4 x 4 means."""
    height, width = (side - side % 4 for side in picture.shape[:2])
    means = picture[:height, :width].reshape(height // 4, 4, width // 4, 4, 3).mean(axis=(1, 3), dtype=np.float32)
    rows = np.linspace(0, means.shape[0] - 1, size).round().astype(int)
    columns = np.linspace(0, means.shape[1] - 1, size).round().astype(int)
    thumbnail: Picture = means[rows][:, columns].astype(np.uint8)
    return thumbnail


def _fractal_texture(rng: np.random.Generator, roughness: float) -> Plane:
    """Sum random grids of doubling fineness; each is ``2 * roughness`` times as strong as the one before, at most 1 in all."""
    texture = np.zeros((_TILE, _TILE), np.float32)
    weight, total = 1.0, 0.0
    for cells in _OCTAVES:
        grid = rng.uniform(-1, 1, (cells + 1, cells + 1)).astype(np.float32)
        texture += weight * _enlarge(grid, _TILE)
        total += weight
        weight *= roughness + 0.3
    return texture / np.float32(total)


def _enlarge(grid: Plane, size: int) -> Plane:
    """Enlarge a square grid linearly."""
    position = np.linspace(0, grid.shape[0] - 1, size, endpoint=False, dtype=np.float32)
    low = position.astype(int)
    share = position - low
    rows = grid[low] * (1 - share)[:, np.newaxis] + grid[low + 1] * share[:, np.newaxis]
    enlarged: Plane = rows[:, low] * (1 - share) + rows[:, low + 1] * share
    return enlarged


def _surface(scene: Scene, rng: np.random.Generator, height: int, width: int) -> Picture:
    """Return uint8 [height, width, 3]: a colour, a gradient of light across it, and a cut of a texture."""
    texture = scene.textures[int(rng.integers(len(scene.textures)))]
    top, left = int(rng.integers(_TILE - height + 1)), int(rng.integers(_TILE - width + 1))
    cut = texture[top : top + height, left : left + width]
    tilt_y, tilt_x = rng.uniform(-40, 40, 2).astype(np.float32)
    light = np.linspace(-tilt_y, tilt_y, height, dtype=np.float32)[:, np.newaxis] + np.linspace(
        -tilt_x, tilt_x, width, dtype=np.float32
    )
    plane = light + cut * np.float32(rng.uniform(120, 240))
    colour = rng.uniform(70, 130, 3).astype(np.float32)
    gain = rng.uniform(0.7, 1.0, 3).astype(np.float32)
    surface = np.empty((height, width, 3), np.uint8)
    for channel in range(3):
        surface[:, :, channel] = np.clip(colour[channel] + plane * gain[channel], 0, 255)
    return surface


def _shape_mask(rng: np.random.Generator, label: int, height: int, width: int) -> NDArray[np.bool_]:
    """Return where the shape is: bool [height, width]."""
    radius = height * rng.uniform(0.22, 0.4)
    centre_y, centre_x = rng.uniform(0.4, 0.6) * height, rng.uniform(0.4, 0.6) * width
    y = np.arange(height, dtype=np.float32)[:, np.newaxis] - np.float32(centre_y)
    x = np.arange(width, dtype=np.float32)[np.newaxis, :] - np.float32(centre_x)
    distance = y * y + x * x
    masks: dict[str, Callable[[], NDArray[np.bool_]]] = {
        "disc": lambda: distance < radius**2,
        "square": lambda: (np.abs(y) < 0.85 * radius) & (np.abs(x) < 0.85 * radius),
        "triangle": lambda: (y < 0.7 * radius) & (y > 2 * np.abs(x) - radius),
        "ring": lambda: (distance < radius**2) & (distance > (0.55 * radius) ** 2),
    }
    return masks[SHAPES[label]]()
