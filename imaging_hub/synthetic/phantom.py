"""Phantom volumes made of ellipsoids, in Hounsfield or arbitrary units."""

from __future__ import annotations

from functools import cache

import numpy as np
from numpy.typing import NDArray

Volume = NDArray[np.int16]

# centre (x, y, z), half axes, value: coordinates in [-1, 1]
_CHEST = (
    ((0, 0, 0), (0.85, 0.62, 2.0), 40),
    ((-0.40, -0.02, 0), (0.30, 0.42, 1.1), -850),
    ((0.40, -0.02, 0), (0.30, 0.42, 1.1), -850),
    ((0.08, -0.15, 0.1), (0.22, 0.20, 0.5), 55),
    ((0, 0.42, 0), (0.09, 0.09, 2.0), 420),
)
_NODULE = ((0.46, 0.05, 0.2), (0.07, 0.07, 0.20), 60)
_HEAD = (
    ((0, 0, 0), (0.72, 0.88, 1.2), 900),
    ((0, 0, 0), (0.67, 0.83, 1.1), 35),
    ((-0.12, -0.08, 0.1), (0.08, 0.26, 0.5), 8),
    ((0.12, -0.08, 0.1), (0.08, 0.26, 0.5), 8),
)
_LESION = ((0.32, 0.28, 0.1), (0.12, 0.12, 0.3), 70)
_AIR = -1000


@cache
def _coordinates(size: int, slices: int) -> tuple[NDArray[np.float32], ...]:
    axis = np.linspace(-1, 1, size, dtype=np.float32)
    heights = np.linspace(-1, 1, slices, dtype=np.float32) if slices > 1 else np.zeros(1, np.float32)
    return heights[:, None, None], axis[None, :, None], axis[None, None, :]


@cache
def _body_volume(region: str, size: int, slices: int, lesion: bool) -> Volume:
    z, y, x = _coordinates(size, slices)
    volume = np.full((slices, size, size), _AIR, np.int16)
    shapes = _CHEST if region == "CHEST" else _HEAD
    extra = (_NODULE if region == "CHEST" else _LESION,) if lesion else ()
    for (cx, cy, cz), (ax, ay, az), value in (*shapes, *extra):
        volume[((x - cx) / ax) ** 2 + ((y - cy) / ay) ** 2 + ((z - cz) / az) ** 2 <= 1] = value
    return volume


def ct(region: str, size: int, slices: int, lesion: bool, rng: np.random.Generator) -> Volume:
    """Return a CT volume in Hounsfield units (slices, rows, columns), with noise."""
    noise = rng.integers(-12, 13, (slices, size, size), np.int16)
    return np.asarray(np.clip(_body_volume(region, size, slices, lesion) + noise, -1000, 3000), np.int16)


def mr(size: int, slices: int, lesion: bool, rng: np.random.Generator) -> Volume:
    """Return a T2-like brain volume: cerebrospinal fluid and lesions bright, bone dark, no negative value."""
    body = _body_volume("BRAIN", size, slices, lesion)
    signal = np.select([body <= -900, body >= 800, body == 8, body == 70], [10, 60, 900, 750], 400).astype(np.int16)
    return np.asarray(np.clip(signal + rng.integers(-10, 11, signal.shape, np.int16), 0, 4095), np.int16)


def radiograph(size: int, rng: np.random.Generator) -> Volume:
    """Return a 12-bit chest projection of an even `size`, the mean attenuation along each ray."""
    body = _body_volume("CHEST", size // 2, size // 2, lesion=False).astype(np.float32)
    along = np.clip(body + 1000, 0, None).mean(axis=1).repeat(2, axis=0).repeat(2, axis=1)
    image = 400 + 3000 * along / along.max() + rng.normal(0, 15, along.shape)
    return np.asarray(np.clip(image, 0, 4095), np.int16)
