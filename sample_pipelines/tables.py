"""Makes the sample table and the sample texts: numbers and words with something in them to be learned.

The one idea: both are drawn whole from one seeded generator, so that every machine gets the same rows and lines. Must not
depend on TensorFlow and must not touch the disk.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FEATURES = ("distance_km", "duration_min", "hour", "weekday", "passengers", "tolls", "speed_kmh", "night")
SENTIMENTS = ("negative", "positive")
_CONSONANTS = tuple("bdfgklmnprstvz")
_VOWELS = tuple("aeiou")


def draw_trips(seed: int, rows: int) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return taxi trips, float32 [rows, 8] with the columns of ``FEATURES``, and their fares, float32 [rows]."""
    rng = np.random.default_rng((seed, 2))
    distance = rng.lognormal(1.2, 0.8, rows)
    speed = rng.normal(24, 6, rows).clip(5, 70)
    hour = rng.integers(0, 24, rows)
    tolls = rng.poisson(0.1, rows)
    night = (hour < 6) | (hour > 21)
    duration = 60 * distance / speed
    weekday, passengers = rng.integers(0, 7, rows), rng.integers(1, 6, rows)
    fare = 3.0 + 1.6 * distance + 0.35 * duration + 5.5 * tolls + 1.5 * night + rng.normal(0, 0.8, rows)
    columns = (distance, duration, hour, weekday, passengers, tolls, speed, night)
    return np.stack(columns, axis=1).astype(np.float32), fare.astype(np.float32)


def draw_vocabulary(seed: int, words: int = 2000) -> tuple[str, ...]:
    """Return that many different pronounceable words of two or three syllables."""
    rng = np.random.default_rng((seed, 3))
    found: dict[str, None] = {}
    while len(found) < words:
        syllables = int(rng.integers(2, 4))
        parts = zip(rng.choice(_CONSONANTS, syllables), rng.choice(_VOWELS, syllables), strict=True)
        found["".join(consonant + vowel for consonant, vowel in parts)] = None
    return tuple(found)


def draw_reviews(seed: int, vocabulary: tuple[str, ...], lines: int) -> list[str]:
    """Return lines "label<TAB>text" of 60 to 180 words, a tenth of them unknown; the label shows in every eighth word."""
    rng = np.random.default_rng((seed, 4))
    known = np.array(vocabulary)
    moods = known[:100], known[100:200]
    reviews = []
    for _ in range(lines):
        label = int(rng.integers(len(SENTIMENTS)))
        words = known[(len(known) * rng.random(int(rng.integers(60, 181))) ** 2).astype(int)].tolist()
        words[::8] = moods[label][rng.integers(0, 100, len(words[::8]))].tolist()
        words[3::10] = [word[::-1] + "x" for word in words[3::10]]
        words[5::12] = [word + "," for word in words[5::12]]
        words[0] = words[0].capitalize()
        reviews.append(f"{label}\t{' '.join(words)}.")
    return reviews
