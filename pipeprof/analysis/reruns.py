"""What a re-run of the script showed: mean step times of pairs of processes, with the changes and without, and their outputs.

One step time of a process is one observation, so the pairs are few and the interval is wide; processes of the same kind are
pairs of no difference and widen it further, so that two pairs that agree by chance prove nothing. It must not run anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from itertools import pairwise, zip_longest
from statistics import fmean

from pipeprof.analysis.significance import MIN_MARGIN, NO_DIFFERENCE_BAND, Interval, ratio_interval
from pipeprof.model.profile import Change, Profile, RerunFacts, TrialRecord, TrialState

RERUN = "rerun"  # method and kind of change of such a trial
_LOSS = re.compile(rb"(?<![\w])loss\"?'?\s*[:=]\s*([-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?)", re.IGNORECASE)
_SHOWN = 60  # characters of a line that differs
_LETTERS = 3  # that a word has at least: units ("ms", "s") come and go with the numbers before them
_POINTS = ".,;:!?()[]{}'\"`"  # around a word
_STEPS_BAND = 0.1  # how far the steps of two runs of one script may be apart


@dataclass(frozen=True, kw_only=True, slots=True)
class Measured:
    """One process: what it did until its end."""

    step_s: float  # mean, the first step left out
    steps: int
    wait_share: float
    memory_bytes: int | None


@dataclass(frozen=True, slots=True)
class Pair:
    """Two processes that ran next to each other."""

    baseline: Measured
    candidate: Measured


def measured(profile: Profile, pipeline_id: str) -> Measured | None:
    """Return what one process showed of a pipeline; None where it took no step after its first."""
    record = next((item for item in profile.pipelines if item.id == pipeline_id), None)
    if record is None:
        return None
    bins = record.loop.bins
    steps, wait_s = sum(item.steps for item in bins), sum(item.wait_s for item in bins)
    wall_s = wait_s + sum(item.gap_s for item in bins)
    if not steps or wall_s <= 0:
        return None
    return Measured(step_s=wall_s / steps, steps=steps, wait_share=wait_s / wall_s, memory_bytes=profile.host.rss_peak_bytes)


def new_rerun(number: int, pipeline_id: str, changes: Sequence[str], *, whole: bool, ceiling: bool = False) -> TrialRecord:
    """Return the record of a re-run of which nothing is known yet."""
    return TrialRecord(
        id=f"{RERUN}-{number}",
        pipeline_id=pipeline_id,
        stage_id="",
        change=Change(kind=RERUN),
        state=TrialState.NOT_TRIED,
        method=RERUN,
        on_top_of=tuple(changes),
        rerun=RerunFacts(changes=tuple(changes), whole=whole, ceiling=ceiling),
    )


def conclude_pairs(pairs: Sequence[Pair]) -> tuple[TrialState, str, Interval]:
    """Return what the pairs say of training, why, and the ratio of step times with its 90 % interval.

    Raises:
        ValueError: there is no pair.
    """
    arms = ([pair.baseline.step_s for pair in pairs], [pair.candidate.step_s for pair in pairs])
    same = [two for arm in arms for two in pairwise(arm)]
    interval = ratio_interval(list(zip(*arms, strict=True)), same=same)
    if len(pairs) == 1:
        return TrialState.NO_DIFFERENCE, "one pair alone proves nothing; more pairs (--rerun) do", interval
    if interval.low > 1 + MIN_MARGIN:
        return TrialState.CONFIRMED, "training is faster", interval
    if interval.high < 1:
        return TrialState.WORSE, "training is slower", interval
    if interval.high <= 1 + NO_DIFFERENCE_BAND:
        return TrialState.NO_DIFFERENCE, "training is not faster: a gain above 5 % is ruled out", interval
    return TrialState.NO_DIFFERENCE, "not told apart from no change; more pairs (--rerun) narrow it", interval


def mean_of(values: Iterable[float | None]) -> float | None:
    """Return the mean of what was measured, None where nothing was."""
    known = [value for value in values if value is not None]
    return fmean(known) if known else None


def last_loss(output: Iterable[bytes]) -> float | None:
    """Return the last loss that a script printed (``loss: 0.97``, ``loss=0.97``), None where it printed none."""
    found = None
    for line in output:
        for match in _LOSS.finditer(line):
            found = float(match.group(1))
    return found


def first_difference(one: Iterable[bytes], other: Iterable[bytes]) -> str | None:
    """Return the first line in which two outputs differ, None where they are equal."""
    for number, (line, counterpart) in enumerate(zip_longest(one, other), 1):
        if line != counterpart:
            return f"line {number}: {_shown(line)}, and with the changes {_shown(counterpart)}"
    return None


def other_steps(pairs: Sequence[Pair]) -> str:
    """Return how the unchanged script took other numbers of steps in two of its runs, nothing where it did not.

    Mean steps of such runs are those of other parts of training: a script that goes on from what its last run saved does that.
    """
    fewest, most = (choose(pair.baseline.steps for pair in pairs) for choose in (min, max))
    return "" if fewest >= (1 - _STEPS_BAND) * most else f"it took {most:,} steps once and {fewest:,} in another run"


def new_words(output: Iterable[bytes], other: Iterable[bytes]) -> str | None:
    """Return the first line of the other output whose words stand in no line of this one, None where there is none.

    Only words count, whole and of letters alone: numbers, paths, hashes, addresses and progress bars differ in scripts which
    do the same twice.
    """
    known = {hash(words) for line in output for words in _words(line)}
    for line in other:
        if any(hash(words) not in known for words in _words(line)):
            return _shown(line)
    return None


def _words(line: bytes) -> Iterator[tuple[str, ...]]:
    """Yield the words of each state of a line: progress bars write it again and again."""
    for part in line.decode("utf-8", "replace").replace("\b", "\r").split("\r"):
        found = tuple(word for word in (item.strip(_POINTS) for item in part.split()) if _is_word(word))
        if found:
            yield found


def _is_word(text: str) -> bool:
    return len(text) >= _LETTERS and text.isalpha()


def _shown(line: bytes | None) -> str:
    if line is None:
        return "nothing"
    text = line.decode("utf-8", "replace").rstrip("\r\n")
    return repr(text if len(text) <= _SHOWN else text[: _SHOWN - 1] + "…")
