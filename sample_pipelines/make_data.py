"""Makes the data that the sample pipelines train on: JPEG pictures, thumbnails, a table and texts.

    python sample_pipelines/make_data.py [--data DIR] [--pictures N] [--seed N]

The one idea: a data set is either complete or not there. Everything is written into a directory beside the target, which is
renamed into place at the end; a maker that dies leaves nothing that a training script could read. A second call with the
same settings does nothing. Must not replace a directory that it did not make.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import sys
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pictures import SHAPES, Picture, Scene, draw_picture, draw_thumbnail
from tables import FEATURES, draw_reviews, draw_trips, draw_vocabulary

VERSION = 1  # of the content: raise it when other bytes are written, and every copy is made anew
DEFAULT_DATA = Path(__file__).resolve().parent / "data"
MANIFEST = "manifest.json"
PICTURE_SHARDS = 8
THUMBNAIL_SHARDS = 4
ROWS_PER_PICTURE = 128
LINES_PER_PICTURE = 8
JPEG_QUALITY = 85

Progress = Callable[[int], None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Recipe:
    """What decides the content of a data set; written into it as its manifest."""

    version: int = VERSION
    seed: int = 7
    pictures: int = 1024


class DataError(Exception):
    """The data cannot be made; the text says why."""


def make_data(target: Path, recipe: Recipe) -> bool:
    """Make the data set in ``target`` and return True, or return False where it is there already.

    Raises:
        DataError: the directory holds something else, or cannot be written.
    """
    if is_made(target, recipe):
        return False
    _refuse_foreign(target)
    _remove_leftovers(target)
    partial = _partial(target, os.getpid())
    try:
        partial.mkdir(parents=True)
        _write_all(partial, recipe)
        (partial / MANIFEST).write_text(json.dumps(asdict(recipe)) + "\n")
        _put_in_place(partial, target)
    except OSError as error:
        raise DataError(f"cannot write to {target}: {error.strerror or error}") from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
    return True


def is_made(target: Path, recipe: Recipe) -> bool:
    """Return whether ``target`` holds the complete data set of this recipe."""
    try:
        made = json.loads((target / MANIFEST).read_text())
    except (OSError, ValueError):
        return False
    return bool(made == asdict(recipe))


def _refuse_foreign(target: Path) -> None:
    if target.exists() and not (target / MANIFEST).is_file() and (not target.is_dir() or any(target.iterdir())):
        raise DataError(f"{target} is not empty and was not made by this program: name another directory with --data")


def _partial(target: Path, process: int) -> Path:
    return target.parent / f".{target.name}.partial-{process}"


def _remove_leftovers(target: Path) -> None:
    """Remove what makers left that were killed; those that still run keep theirs."""
    for path in target.parent.glob(f".{target.name}.partial-*"):
        process = path.name.rpartition("-")[2]
        if process.isdigit() and not _is_running(int(process)):
            shutil.rmtree(path, ignore_errors=True)


def _is_running(process: int) -> bool:
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def _put_in_place(partial: Path, target: Path) -> None:
    if target.exists():
        old = partial.with_name(partial.name + ".old")
        target.rename(old)
        partial.rename(target)
        shutil.rmtree(old)
    else:
        partial.rename(target)


def _write_all(folder: Path, recipe: Recipe) -> None:
    with _progress_bar("drawing pictures", recipe.pictures) as progress:
        _write_pictures(folder, recipe, progress)
    with _progress_bar("writing table and texts", 2) as progress:
        trips, fares = draw_trips(recipe.seed, ROWS_PER_PICTURE * recipe.pictures)
        np.savez(folder / "trips.npz", trips=trips, fares=fares, names=np.array(FEATURES))
        progress(1)
        vocabulary = draw_vocabulary(recipe.seed)
        reviews = draw_reviews(recipe.seed, vocabulary, LINES_PER_PICTURE * recipe.pictures)
        (folder / "vocabulary.txt").write_text("\n".join(vocabulary) + "\n")
        (folder / "reviews.txt").write_text("\n".join(reviews) + "\n")
        progress(1)


def _write_pictures(folder: Path, recipe: Recipe, progress: Progress) -> None:
    """Write each picture to the next shard in turn, its thumbnail likewise, and every other thumbnail as a file of its own."""
    import tensorflow as tf

    (folder / "objects").mkdir()
    scene = Scene.create(recipe.seed)

    def draw(index: int) -> tuple[bytes, bytes, int]:
        picture, label = draw_picture(scene, index)
        return _jpeg(tf, picture), _jpeg(tf, draw_thumbnail(picture)), label

    with contextlib.ExitStack() as stack, ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        pictures = _open_shards(tf, stack, folder, "pictures", PICTURE_SHARDS)
        thumbnails = _open_shards(tf, stack, folder, "thumbnails", THUMBNAIL_SHARDS)
        for index, (picture, thumbnail, label) in enumerate(_in_order(pool, draw, recipe.pictures)):
            pictures[index % PICTURE_SHARDS].write(_example(tf, picture, label))
            thumbnails[index % THUMBNAIL_SHARDS].write(_example(tf, thumbnail, label))
            if index % 2 == 0:
                (folder / "objects" / f"{index:05d}-{SHAPES[label]}.jpg").write_bytes(thumbnail)
            progress(1)


def _in_order(pool: ThreadPoolExecutor, draw: Callable[[int], Any], count: int) -> Iterator[Any]:
    """Yield ``draw(0)``, ``draw(1)`` …, made by the pool, with at most 64 waiting in memory."""
    waiting: list[Future[Any]] = []
    for index in range(count):
        waiting.append(pool.submit(draw, index))
        if len(waiting) == 64:
            yield waiting.pop(0).result()
    for future in waiting:
        yield future.result()


def _open_shards(tf: Any, stack: contextlib.ExitStack, folder: Path, name: str, shards: int) -> list[Any]:
    paths = [folder / f"{name}-{shard:05d}-of-{shards:05d}.tfrecord" for shard in range(shards)]
    return [stack.enter_context(tf.io.TFRecordWriter(str(path))) for path in paths]


def _jpeg(tf: Any, picture: Picture) -> bytes:
    with tf.device("/CPU:0"):
        encoded: bytes = tf.io.encode_jpeg(picture, quality=JPEG_QUALITY).numpy()
    return encoded


def _example(tf: Any, jpeg: bytes, label: int) -> bytes:
    features = {
        "image": tf.train.Feature(bytes_list=tf.train.BytesList(value=[jpeg])),
        "label": tf.train.Feature(int64_list=tf.train.Int64List(value=[label])),
    }
    serialised: bytes = tf.train.Example(features=tf.train.Features(feature=features)).SerializeToString()
    return serialised


@contextlib.contextmanager
def _progress_bar(title: str, total: int) -> Iterator[Progress]:
    """Yield a function that advances a bar on stderr; where stderr is no terminal, it writes a line at every quarter."""
    if sys.stderr.isatty():
        from rich.console import Console
        from rich.progress import Progress as Bar

        with Bar(console=Console(stderr=True)) as bar:
            task = bar.add_task(title, total=total)
            yield lambda steps: bar.advance(task, steps)
        return
    done = 0

    def advance(steps: int) -> None:
        nonlocal done
        before, done = done, done + steps
        if 4 * done // total > 4 * before // total:
            print(f"{title}: {done} of {total}", file=sys.stderr, flush=True)

    yield advance


def _size_mb(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 1e6


def main() -> int:
    """Run the command line and return its exit status."""
    parser = argparse.ArgumentParser(description="Make the data of the sample pipelines.")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="where to (default: beside this program)")
    parser.add_argument("--pictures", type=int, default=Recipe().pictures, help="how many pictures; the rest grows with them")
    parser.add_argument("--seed", type=int, default=Recipe().seed)
    given = parser.parse_args()
    if given.pictures < PICTURE_SHARDS:
        parser.error(f"--pictures must be at least {PICTURE_SHARDS}, one for each shard")
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    os.environ["CUDA_VISIBLE_DEVICES"] = "-1"  # drawing needs no GPU
    started = time.monotonic()
    target = given.data.resolve()
    try:
        new = make_data(target, Recipe(seed=given.seed, pictures=given.pictures))
    except DataError as error:
        print(f"make_data: {error}", file=sys.stderr)
        return 2
    outcome = f"made in {time.monotonic() - started:.0f} s" if new else "there already"
    print(f"sample data: {target} ({_size_mb(target):.0f} MB, {outcome})", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main())
