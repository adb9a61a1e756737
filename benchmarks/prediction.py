"""How good are predictions? Each change is predicted, then really made in a twin pipeline, and both are measured.

The one idea: the truth comes from twins written by hand, measured in turn (A B B A) with the same consumer, never from
pipeprof's own trials. ``python benchmarks/prediction.py --seed N`` prints the table, ``--write docs/prediction.md`` keeps it.
``--keep DIR`` keeps profiles and truths, and ``--again DIR`` predicts from them again without measuring. It tunes nothing.
"""

from __future__ import annotations

import argparse
import math
import os
import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any  # TensorFlow's datasets carry no types

import msgspec

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

from pipeprof.analysis import analyse
from pipeprof.analysis.prediction import predict
from pipeprof.analysis.significance import ratio_interval
from pipeprof.model.diagnosis import Prediction
from pipeprof.model.profile import Change, Profile

CAPTURE_S = 5.0
CAPTURED_EPOCHS = 6
PAIRS = 10
BLOCK_S = 0.6
WARM_UP_S = 0.5
AIM_ERROR, AIM_HELD = 0.10, 0.9


@dataclass(frozen=True, kw_only=True, slots=True)
class Truth:
    """One change, really made: what was measured, and what it was predicted from."""

    case: str
    planted: str
    change: Change
    stage_id: str
    profile: Profile
    speedup: float
    low: float
    high: float
    before_s: float  # median step as it is
    after_s: float  # and changed
    load: float  # processes that were ready to run beside the cores, while it was measured


@dataclass(frozen=True, kw_only=True, slots=True)
class Score:
    """One truth and its prediction."""

    truth: Truth
    predicted: Prediction | None
    captured_step_s: float | None

    @property
    def error(self) -> float | None:
        """Relative error of the predicted speed-up."""
        return None if self.predicted is None else self.predicted.speedup / self.truth.speedup - 1

    @property
    def is_held(self) -> bool:
        """Whether the interval holds the measured speed-up."""
        return self.predicted is not None and self.predicted.low <= self.truth.speedup <= self.predicted.high

    @property
    def is_within_noise(self) -> bool:
        """Whether the interval overlaps the measured speed-up's own."""
        found, truth = self.predicted, self.truth
        return found is not None and found.low <= truth.high and truth.low <= found.high


# --- measuring ---------------------------------------------------------------------------------------------------


def capture(case: Any, directory: Path) -> tuple[Profile, Any]:
    """Run the case as a user's loop would, observed; return the profile and the dataset."""
    import pipeprof

    with pipeprof.profile(output=directory, name="case") as prof:
        dataset = case.make("")
        began = time.perf_counter()
        if case.epoch_steps is None:
            for _ in dataset:
                case.step()
                if time.perf_counter() - began > CAPTURE_S:
                    break
        else:
            epochs = 0
            while epochs < CAPTURED_EPOCHS or time.perf_counter() - began < CAPTURE_S:
                for _ in dataset:
                    case.step()
                epochs += 1
    return prof.profile, dataset


def with_control(profile: Profile, dataset: Any) -> Profile:
    """Return the profile with the ready-element control, as a run has it before any change is tried."""
    from dataclasses import replace

    from pipeprof.advise.search import Search
    from pipeprof.settings import Settings

    train = analyse(profile).train
    assert train is not None
    control = Search(profile, {train.record.id: dataset}, Settings(budget_s=20.0), lambda _event: None).measure_ceiling()
    return profile if control is None else replace(profile, controls=(control,))


def block_s(dataset: Any, case: Any) -> float:
    """Return the mean step of one block: whole epochs, new iterators included, or a stretch of an endless stream."""
    steps, began = 0, time.perf_counter()
    if case.epoch_steps is not None:
        while time.perf_counter() - began < BLOCK_S:
            for _ in dataset:
                case.step()
                steps += 1
        return (time.perf_counter() - began) / steps
    iterator = iter(dataset)
    while time.perf_counter() - began < WARM_UP_S:
        next(iterator)
        case.step()
    began = time.perf_counter()
    while time.perf_counter() - began < BLOCK_S or steps < 5:
        next(iterator)
        case.step()
        steps += 1
    return (time.perf_counter() - began) / steps


def measure(case: Any, dataset: Any, twin: Any) -> list[tuple[float, float]]:
    """Return pairs of step times, as it is and changed."""
    block_s(twin, case)  # fills caches
    pairs = []
    for number in range(PAIRS):
        first, second = (dataset, twin) if number % 2 == 0 else (twin, dataset)
        one, two = block_s(first, case), block_s(second, case)
        pairs.append((one, two) if number % 2 == 0 else (two, one))
    return pairs


def _stage_id(profile: Profile, op: str) -> str:
    train = analyse(profile).train
    assert train is not None
    return next(view.id for view in train.stages if view.stage.op == op)


def measure_case(case: Any, directory: Path) -> list[Truth]:
    """Capture, then make every change of the case and measure it."""
    profile, dataset = capture(case, directory)
    profile = with_control(profile, dataset)
    found = []
    for name, (op, change) in case.changes.items():
        pairs = measure(case, dataset, case.make(name))
        interval = ratio_interval(pairs)
        found.append(
            Truth(
                case=case.name,
                planted=case.planted,
                change=change,
                stage_id=_stage_id(profile, op),
                profile=profile,
                speedup=math.exp(statistics.median(math.log(one / two) for one, two in pairs)),
                low=interval.low,
                high=interval.high,
                before_s=statistics.median(one for one, _ in pairs),
                after_s=statistics.median(two for _, two in pairs),
                load=os.getloadavg()[0],
            )
        )
    return found


# --- judging -----------------------------------------------------------------------------------------------------


def score(truth: Truth, *, use_control: bool) -> Score:
    """Predict one change from what was captured before it was made."""
    from dataclasses import replace

    profile = truth.profile if use_control else replace(truth.profile, controls=())
    analysis = analyse(profile)
    assert analysis.train is not None
    found = predict(analysis, analysis.train, truth.stage_id, truth.change)
    loop = analysis.train.record.loop
    epochs = [epoch for epoch in loop.epochs[1:] if epoch.elements]
    whole = (
        sum(epoch.wall_s + epoch.creation_s for epoch in epochs) / sum(epoch.elements for epoch in epochs) if epochs else None
    )
    return Score(truth=truth, predicted=found, captured_step_s=whole or analysis.train.step_s)


def summary(scores: Sequence[Score]) -> tuple[float, float]:
    """Return the median absolute error and the share of intervals that hold the truth."""
    errors = [abs(item.error) for item in scores if item.error is not None]
    return statistics.median(errors) if errors else math.nan, sum(item.is_held for item in scores) / max(1, len(scores))


def table(alone: Sequence[Score], controlled: Sequence[Score]) -> str:
    """Return the table, one row for each change."""
    rows = [
        "| pipeline | planted | change | measured (90 %) | predicted from the run | error | with the control | error |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for one, two in zip(alone, controlled, strict=True):
        truth = one.truth
        measured = f"{truth.speedup:.2f} ({truth.low:.2f}–{truth.high:.2f})"
        rows.append(f"| {truth.case} | {truth.planted} | {truth.change.kind} | {measured} | {_cell(one)} | {_cell(two)} |")
    return "\n".join(rows)


def _cell(item: Score) -> str:
    found = item.predicted
    if found is None:
        return "none | –"
    mark = "" if item.is_held else " **missed**"
    return f"{found.speedup:.2f} ({found.low:.2f}–{found.high:.2f}){mark} | {item.error:+.0%}"


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure, predict, print."""
    parser = argparse.ArgumentParser(description="How good are predictions?")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--only", default="", help="only cases whose name holds this")
    parser.add_argument("--write", type=Path, help="write the page here")
    parser.add_argument("--keep", type=Path, help="keep profiles and truths in this directory")
    parser.add_argument("--again", type=Path, nargs="*", help="predict again from kept directories, measure nothing")
    options = parser.parse_args(arguments)
    truths = _load(options.again) if options.again else _measure_all(options)
    alone = [score(item, use_control=False) for item in truths]
    controlled = [score(item, use_control=True) for item in truths]
    text = table(alone, controlled)
    lines = [
        f"{name}: median error {error:.1%}, {held:.0%} of {len(scores)} intervals hold the measured speed-up"
        for name, scores in (("from the run alone", alone), ("with the control", controlled))
        for error, held in [summary(scores)]
    ]
    sys.stdout.write(text + "\n\n" + "\n".join(lines) + "\n")
    if options.write:
        _write_page(options, alone, controlled, text)


def _write_page(options: argparse.Namespace, alone: Sequence[Score], controlled: Sequence[Score], text: str) -> None:
    from prediction_page import Results, page
    from prediction_pipelines import burns
    from prediction_probes import probe_scaling, probe_simulation

    results = Results(
        seed=options.seed,
        alone=alone,
        controlled=controlled,
        table=text,
        probes=probe_simulation(options.seed),
        scaling=probe_scaling(burns(0.002)),
    )
    options.write.parent.mkdir(exist_ok=True)
    options.write.write_text(page(results))


def _measure_all(options: argparse.Namespace) -> list[Truth]:
    from prediction_pipelines import draw_cases

    found: list[Truth] = []
    with tempfile.TemporaryDirectory() as directory:
        for case in draw_cases(options.seed, options.only):
            began = time.perf_counter()
            made = measure_case(case, Path(directory))
            found += made
            text = "; ".join(f"{item.change.kind} {item.speedup:.2f} ({item.low:.2f}-{item.high:.2f})" for item in made)
            sys.stderr.write(f"{case.name}: {text} in {time.perf_counter() - began:.0f} s\n")
            if options.keep:
                options.keep.mkdir(parents=True, exist_ok=True)
                for item in made:
                    name = f"{options.seed}-{case.name}-{item.change.kind}".replace(" ", "_").replace(",", "")
                    (options.keep / f"{name}.json").write_bytes(msgspec.json.encode(item))
    return found


def _load(directories: Sequence[Path]) -> list[Truth]:
    return [
        msgspec.json.decode(path.read_bytes(), type=Truth)
        for directory in directories
        for path in sorted(directory.glob("*.json"))
    ]


if __name__ == "__main__":
    main()
