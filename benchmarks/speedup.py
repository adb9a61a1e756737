"""What does pipeprof make of a pipeline, beside the usual ways of tuning? Each workload in five forms, measured in turn.

    PYTHONPATH=. python benchmarks/speedup.py [--only NAME] [--budget 60] [--rounds 6] [--start naive] [--write docs/speedup.md]
        [--steps docs/speedup-steps.md]

The one idea: all forms of one workload run in one process, epoch by epoch in turn, with a step that costs nothing and with one
that stands for an accelerator; pipeprof gets the pipeline as it is written, and its result is what its own trials confirmed
and may be applied without being asked for. Run it on a quiet machine. It tunes nothing.
"""

from __future__ import annotations

import argparse
import importlib.util
import os
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any  # TensorFlow's datasets carry no types

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
sys.path.insert(0, str(Path(__file__).parents[1]))

from benchmarks import speedup_guide
from benchmarks import speedup_workloads as published
from benchmarks.speedup_page import page, steps_page
from benchmarks.speedup_split import told, try_split
from benchmarks.speedup_styles import STYLES, in_style

SAMPLES = Path(__file__).parents[1] / "sample_pipelines"
FORMS = ("naive", *STYLES, "hand-tuned", "pipeprof")
CAPTURE_S = 5.0
CAPTURE_EPOCHS = 3
LEAST_BLOCK_S = 0.4
_FIRST_STEPS = 8

Make = Callable[[Path], Any]


@dataclass(frozen=True, kw_only=True, slots=True)
class Workload:
    """One pipeline in its written form and its hand-tuned twin, and the step that stands for an accelerator."""

    name: str
    naive: Make
    tuned: Make
    accelerator_s: float


@dataclass(kw_only=True, slots=True)
class Result:
    """One workload before one step: seconds of a step in every round, by form, and what pipeprof did."""

    workload: str
    step_s: float
    rounds: dict[str, list[float]] = field(default_factory=dict)
    applied: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)  # what it did not apply, and why
    verdict: str = ""


def workloads(only: str) -> Iterator[Workload]:
    """Yield the published pipelines, the guide's, and the slow samples."""
    steps = {"resnet": 0.02, "rcnn": 0.02, "ssd": 0.02, "transformer": 0.03, "transformer_small": 0.006, "gnmt": 0.03}
    for name, step_s in {**steps, "guide": 0.01}.items():
        if only in name:
            yield Workload(
                name=name, naive=getattr(published, name), tuned=getattr(published, f"{name}_tuned"), accelerator_s=step_s
            )
    for name in speedup_guide.STEPS:
        if only in name:
            naive, tuned = getattr(speedup_guide, name), getattr(speedup_guide, f"{name}_tuned")
            yield Workload(name=name, naive=naive, tuned=tuned, accelerator_s=0.01)
    for name in ("cacheable_decode", "python_in_the_loop", "random_augmentation", "scalar_maps", "blocking_reads"):
        if only in name:
            written, fixed = _sample(name, "train"), _sample(name, "fixed")
            yield Workload(name=name, naive=written.make_dataset, tuned=fixed.make_dataset, accelerator_s=0.01)


def _sample(folder: str, file: str) -> Any:
    path = SAMPLES / folder / f"{file}.py"
    sys.path.insert(0, str(path.parent))
    try:
        sys.modules.pop("train", None)
        spec = importlib.util.spec_from_file_location("train" if file == "train" else f"{folder}_{file}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        spec.loader.exec_module(module)
        return module
    finally:
        sys.path.pop(0)


def epoch_s(dataset: Any, step_s: float, length: int) -> float:
    """Return the mean seconds of a step over whole epochs of one iterator, its first steps and its end left out.

    TensorFlow 2.21 loses about half a second now and then as it takes an iterator with AUTOTUNE down, whatever the pipeline:
    as much as an epoch of these small data, and nothing beside an epoch of real ones.
    """
    iterator = iter(dataset.repeat())
    for _ in range(min(length, _FIRST_STEPS)):
        next(iterator)
    steps, began = 0, time.perf_counter()
    while time.perf_counter() - began < LEAST_BLOCK_S or steps % length:
        next(iterator)
        steps += 1
        if step_s:
            time.sleep(step_s)
    return (time.perf_counter() - began) / steps


def improved(make: Make, data: Path, budget_s: float, found: Result) -> Any:
    """Return the pipeline as pipeprof leaves it, and note what it applied, what it did not, and its verdict."""
    import pipeprof
    from pipeprof.advise.search import Search
    from pipeprof.analysis import analyse
    from pipeprof.settings import Settings

    with tempfile.TemporaryDirectory() as folder:
        with pipeprof.profile(output=folder, name="speedup") as prof:
            dataset = make(data)
            began, epochs = time.perf_counter(), 0
            while epochs < CAPTURE_EPOCHS or time.perf_counter() - began < CAPTURE_S:
                for _ in dataset:
                    if found.step_s:
                        time.sleep(found.step_s)
                epochs += 1
        profile, found.verdict = prof.profile, prof.diagnosis.verdict.sentence
    train = analyse(profile).train
    assert train is not None
    events: list[Any] = []
    search = Search(profile, {train.record.id: dataset}, Settings(budget_s=budget_s), events.append)
    search.run()
    found.applied = list(search.kept)
    tried = [event.trial for event in events if event.event == "result"]
    found.refused = [f"{one.id} {one.state}: {one.reason}" for one in tried if one.id not in search.kept]
    found.refused += [event.text for event in events if event.event == "reason"]
    return dataset if search.best is None else search.best.load()


def measure(workload: Workload, data: Path, step_s: float, options: argparse.Namespace) -> Result:
    """Measure all forms of one workload in turn."""
    start = workload.naive if options.start == "naive" else in_style(workload.naive, options.start)
    found = Result(workload=workload.name, step_s=step_s, rounds={form: [] for form in FORMS})
    own = improved(start, data, options.budget, found)
    forms = {"naive": workload.naive(data), "hand-tuned": workload.tuned(data), "pipeprof": own}
    forms |= {style: in_style(workload.naive, style)(data) for style in STYLES}
    lengths = {form: sum(1 for _ in dataset) for form, dataset in forms.items()}  # fills caches, too
    for turn in range(options.rounds):
        order = FORMS[turn % len(FORMS) :] + FORMS[: turn % len(FORMS)]
        for form in order if turn % 2 == 0 else reversed(order):
            found.rounds[form].append(epoch_s(forms[form], step_s, lengths[form]))
    return found


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure, print a line each, write the page."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", default="", help="workloads whose names contain this")
    parser.add_argument("--budget", type=float, default=60.0, help="seconds for pipeprof's trials, each time")
    parser.add_argument("--rounds", type=int, default=6)
    parser.add_argument("--start", choices=("naive", *STYLES), default="naive", help="the form that pipeprof is given")
    parser.add_argument("--write", type=Path, help="write the page here")
    parser.add_argument("--steps", type=Path, help="write the page on the guide's single steps here")
    options = parser.parse_args(arguments)
    results = []
    with tempfile.TemporaryDirectory() as scratch:
        data = Path(scratch)
        published.write_data(data)
        for path in (SAMPLES / "data").iterdir():
            (data / path.name).symlink_to(path)
        for workload in workloads(options.only):
            for step_s in (0.0, workload.accelerator_s):
                results.append(measure(workload, data, step_s, options))
                medians = {form: sorted(times)[len(times) // 2] * 1e3 for form, times in results[-1].rounds.items()}
                text = ", ".join(f"{form} {value:.2f}" for form, value in medians.items())
                sys.stdout.write(f"{workload.name} step {step_s * 1e3:.0f} ms: {text} ms; {results[-1].applied}\n")
                sys.stdout.flush()
        split = told(*try_split(data, options.budget)) if options.steps is not None else ""
    single = [item for item in results if item.workload in speedup_guide.STEPS]
    others = [item for item in results if item not in single]
    for target, text in ((options.write, page(others, options.start)), (options.steps, steps_page(single, split))):
        if target is not None:
            target.write_text(text)
            sys.stdout.write(text)
    return 0


if __name__ == "__main__":
    sys.exit(main())
