"""The picture behind the figure: sky or wall, floor, water or rock, clutter; it scrolls with the camera."""

from __future__ import annotations

import numpy as np

LUMA = np.array([0.299, 0.587, 0.114])


def smooth_texture(rng: np.random.Generator, height: int, width: int, cells: int) -> np.ndarray:
    """Smooth random shading (height, width), about -1 to 1: a coarse random grid, bilinearly enlarged."""
    grid = rng.uniform(-1.0, 1.0, (cells + 1, cells + 1))
    row, column = np.linspace(0, cells - 1e-6, height), np.linspace(0, cells - 1e-6, width)
    r, c = row.astype(int), column.astype(int)
    fr, fc = (row - r)[:, None], (column - c)[None, :]
    top = grid[r][:, c] * (1 - fc) + grid[r][:, c + 1] * fc
    bottom = grid[r + 1][:, c] * (1 - fc) + grid[r + 1][:, c + 1] * fc
    return top * (1 - fr) + bottom * fr


def paint_backdrop(
    rng: np.random.Generator, height: int, width: int, horizon_px: float, kind: str
) -> np.ndarray:
    """One background picture.

    Args:
        rng: source of all its randomness.
        height: in pixels.
        width: in pixels.
        horizon_px: row where the floor or water begins; may lie outside the picture.
        kind: "plain" (wall or sky above a floor), "water" or "rock".

    Returns:
        (height, width, 3) float32, 0-255.
    """
    base = rng.uniform(60.0, 215.0) + rng.normal(0.0, 18.0, 3)
    slope = np.linspace(-1.0, 1.0, height)[:, None, None] * rng.normal(0.0, 12.0)
    picture = np.broadcast_to(base, (height, width, 3)) + slope
    picture = picture + smooth_texture(rng, height, width, 4)[:, :, None] * rng.uniform(3.0, 10.0)
    rows, columns = np.arange(height)[:, None], np.arange(width)[None, :]
    if kind == "rock":
        picture = (
            np.array([140.0, 128.0, 112.0])
            + rng.normal(0.0, 14.0, 3)
            + smooth_texture(rng, height, width, 9)[:, :, None] * 24.0
        )
        for _ in range(14):
            centre, radius = rng.uniform(0, (height, width)), rng.uniform(1.2, 2.4)
            hold = (rows - centre[0]) ** 2 + (columns - centre[1]) ** 2 < radius**2
            picture[hold] = rng.uniform(40.0, 235.0, 3)
        return np.clip(picture, 0.0, 255.0).astype(np.float32)
    for _ in range(rng.integers(2, 7)):
        centre = rng.uniform((0, 0), (max(horizon_px, 1.0), width))
        half = rng.uniform(2.0, 0.28 * height, 2)
        if rng.random() < 0.6:
            inside = (np.abs(rows - centre[0]) < half[0]) & (np.abs(columns - centre[1]) < half[1])
        else:
            inside = ((rows - centre[0]) / half[0]) ** 2 + ((columns - centre[1]) / half[1]) ** 2 < 1.0
        picture[inside & (rows < horizon_px)] += rng.normal(0.0, 20.0) + rng.normal(0.0, 8.0, 3)
    below = rows >= horizon_px
    if kind == "water":
        stripes = np.sin(rows * rng.uniform(0.8, 1.3) + 1.5 * np.sin(columns * 0.2))[:, :, None] * 7.0
        floor = np.array([45.0, 120.0, 165.0]) + rng.normal(0.0, 14.0, 3) + stripes
    else:
        tone = base.mean() + rng.choice([-1.0, 1.0]) * rng.uniform(18.0, 45.0)
        floor = (
            np.clip(tone, 50.0, 210.0)
            + rng.normal(0.0, 14.0, 3)
            + smooth_texture(rng, height, width, 10)[:, :, None] * 7.0
        )
        # sparse marks on the floor show that the camera moves along
        marks = ((columns + 2 * rows) % int(rng.integers(14, 26)) == 0)[:, :, None]
        floor = floor + marks * rng.choice([-1.0, 1.0]) * 14.0
    picture = np.where(below[:, :, None], floor, picture)
    return np.clip(picture, 0.0, 255.0).astype(np.float32)


def scroll(picture: np.ndarray, shift_px: np.ndarray) -> np.ndarray:
    """Copies of a picture moved by whole pixels, mirrored beyond its borders so that there is no seam.

    Args:
        picture: (H, W, 3) float32.
        shift_px: (T, 2) float, columns to the right and rows down.

    Returns:
        (T, H, W, 3) float32.
    """
    height, width, _ = picture.shape
    shift = np.round(shift_px).astype(int)
    rows = np.mod(np.arange(height)[None, :] - shift[:, 1:], 2 * height)
    columns = np.mod(np.arange(width)[None, :] - shift[:, :1], 2 * width)
    rows, columns = (
        np.where(rows < height, rows, 2 * height - 1 - rows),
        np.where(columns < width, columns, 2 * width - 1 - columns),
    )
    return picture.reshape(-1, 3).take(rows[:, :, None] * width + columns[:, None, :], axis=0)


def contrasting_colour(rng: np.random.Generator, background: np.ndarray, least: float = 70.0) -> np.ndarray:
    """A random colour (3,), 0-255, whose distance from the background's mean colour (3,) is at least `least`.

    The distance counts lightness double, since H.264 keeps lightness better than colour.
    """
    best, best_distance = background, -1.0
    for _ in range(30):
        colour = rng.uniform(15.0, 245.0, 3)
        light = abs(float(LUMA @ (colour - background)))
        distance = light + 0.3 * float(np.abs(colour - background).mean())
        if distance > best_distance:
            best, best_distance = colour, distance
        if distance >= least:
            break
    return best
