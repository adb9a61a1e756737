"""The drawings of the page: inline SVG made from numbers, without any library.

One idea: a drawing scales without its text, so words stand beside it in HTML and stay readable in a narrow window. Colours
and strokes are the style sheet's. Nothing here says what a number means.
"""

from __future__ import annotations

import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from markupsafe import Markup

from pipeprof import units
from pipeprof.model.diagnosis import Level, Pipeline, Stage, TimelinePoint
from pipeprof.report.advice import Interval
from pipeprof.report.text import number_text, one_line

_WIDTH, _HEIGHT = 1000, 100  # of a lane's own coordinates
_CLIP = 2.0  # a lane ends at this many times what 95 % of the points stay below; what is longer is said in words
_BAR_WIDTH = 64
_CHART_WIDTH, _CHART_HEIGHT, _MARGIN = 280, 46, 14
_PREDICTED_Y, _TRIAL_Y, _AXIS_Y = 8, 22, 31
_NARROW = 1.02  # an axis spans at least this factor to either side of 1

Value = Callable[[TimelinePoint], float | None]


@dataclass(frozen=True, kw_only=True, slots=True)
class Lane:
    """One quantity over time."""

    name: str
    note: str  # its scale in words
    svg: Markup


@dataclass(frozen=True, kw_only=True, slots=True)
class TimelineChart:
    """Lanes over one common time axis."""

    lanes: tuple[Lane, ...]
    start: str
    end: str


def timeline_chart(points: Sequence[TimelinePoint]) -> TimelineChart | None:
    """Return the time line, None where nothing in it was measured."""
    lanes = [lane for lane in (_step_lane(points), *_share_lanes(points), _memory_lane(points)) if lane is not None]
    if not lanes:
        return None
    return TimelineChart(lanes=tuple(lanes), start=units.duration(points[0].t_s), end=units.duration(points[-1].t_s))


def _step_lane(points: Sequence[TimelinePoint]) -> Lane | None:
    steps = _values(points, lambda point: point.step_s)
    waits = _values(points, lambda point: point.wait_s)
    if not steps and not waits:
        return None
    longest = max(steps or waits)
    top = min(longest, _CLIP * _most(steps or waits)) or longest or 1.0
    clipped = f"; longest {units.duration(longest)}" if longest > top else ""
    inner = _area(points, lambda point: point.wait_s, top, "wait") + _line(points, lambda point: point.step_s, top, "step")
    note = f"0 to {units.duration(top)}{clipped}"
    return Lane(name="step and wait", note=note, svg=_lane_svg(inner, f"Step time and waiting over time, {note}"))


def _most(values: Sequence[float]) -> float:
    return statistics.quantiles(values, n=20)[-1] if len(values) > 1 else values[0]


def _share_lanes(points: Sequence[TimelinePoint]) -> list[Lane]:
    lanes = []
    quantities: tuple[tuple[str, Value], ...] = (("CPU", lambda point: point.cpu_share), ("GPU", lambda point: point.gpu_share))
    for name, value in quantities:
        found = _values(points, value)
        if found:
            note = f"0 to 100 %; highest {units.percent(max(found))}"
            inner = _area(points, value, 1.0, name.lower())
            lanes.append(Lane(name=name, note=note, svg=_lane_svg(inner, f"{name} load over time, {note}")))
    return lanes


def _memory_lane(points: Sequence[TimelinePoint]) -> Lane | None:
    found = _values(points, lambda point: point.rss_bytes)
    if not found or max(found) <= 0:
        return None
    note = f"0 to {units.byte_count(max(found))}"
    inner = _area(points, lambda point: point.rss_bytes, max(found), "memory")
    return Lane(name="memory", note=note, svg=_lane_svg(inner, f"Memory of the process over time, {note}"))


def _values(points: Sequence[TimelinePoint], value: Value) -> list[float]:
    return [found for point in points if (found := value(point)) is not None and math.isfinite(found)]


def _lane_svg(inner: Markup, label: str) -> Markup:
    head = Markup('<svg class="lane" viewBox="0 0 {} {}" preserveAspectRatio="none" role="img" aria-label="{}">')
    return head.format(_WIDTH, _HEIGHT, label) + inner + Markup("</svg>")


def _runs(points: Sequence[TimelinePoint], value: Value, top: float) -> list[list[tuple[int, int]]]:
    """Return unbroken runs of (x, y); a point without the value breaks the line."""
    first = points[0].t_s
    span = (points[-1].t_s - first) or 1.0
    runs: list[list[tuple[int, int]]] = [[]]
    for point in points:
        found = value(point)
        if found is None or not math.isfinite(found):
            runs.append([])
            continue
        height = min(max(found / top, 0.0), 1.0)
        runs[-1].append((round((point.t_s - first) / span * _WIDTH), round((1 - height) * _HEIGHT)))
    return [run if len(run) > 1 else [run[0], (min(run[0][0] + 2, _WIDTH), run[0][1])] for run in runs if run]


def _line(points: Sequence[TimelinePoint], value: Value, top: float, name: str) -> Markup:
    path = "".join(f"M{run[0][0]} {run[0][1]}{_stairs(run)}" for run in _runs(points, value, top))
    return Markup('<path class="{}" d="{}"/>').format(f"line {name}", path)


def _area(points: Sequence[TimelinePoint], value: Value, top: float, name: str) -> Markup:
    runs = _runs(points, value, top)
    path = "".join(f"M{run[0][0]} {_HEIGHT}V{run[0][1]}{_stairs(run)}V{_HEIGHT}Z" for run in runs)
    return Markup('<path class="{}" d="{}"/>').format(f"area {name}", path)


def _stairs(run: Sequence[tuple[int, int]]) -> str:
    """Return the way from the first point on: each value holds until the next point, as a step lasts until the next one."""
    return "".join(f"H{x}V{y}" for x, y in run[1:])


def levels_chart(pipeline: Pipeline) -> TimelineChart | None:
    """Return what each buffer holds over time, and the calls at once of stages for which AUTOTUNE changed them."""
    levels = pipeline.levels
    lanes = [lane for stage in pipeline.stages for lane in (_held(stage, levels), _calls(stage, levels)) if lane is not None]
    if not lanes:
        return None
    return TimelineChart(lanes=tuple(lanes), start=units.duration(levels[0].t_s), end=units.duration(levels[-1].t_s))


def _held(stage: Stage, levels: Sequence[Level]) -> Lane | None:
    held = _points(levels, [item.buffered.get(stage.id) for item in levels])
    most = max(_values(held, _value), default=0.0)
    if most <= 0:
        return None
    top = max(most, stage.buffer_size or 0.0)
    note = f"0 to {units.count_of(round(top), 'element')}; at most {number_text(most)}"
    inner = _area(held, _value, top, "buffer")
    return Lane(name=f"{_short(stage)} holds", note=note, svg=_lane_svg(inner, f"Elements in {stage.op} over time, {note}"))


def _calls(stage: Stage, levels: Sequence[Level]) -> Lane | None:
    calls = _points(levels, [item.parallelism.get(stage.id) for item in levels])
    chosen = set(_values(calls, _value))
    if len(chosen) < 2:  # noqa: PLR2004 - nothing changed
        return None
    note = f"AUTOTUNE: {number_text(min(chosen))} to {number_text(max(chosen))} calls at once"
    inner = _area(calls, _value, max(chosen), "calls")
    return Lane(name=f"{_short(stage)} runs", note=note, svg=_lane_svg(inner, f"Calls of {stage.op} at once, {note}"))


def _short(stage: Stage) -> str:
    name = f".{one_line(stage.op)}" if stage.inputs else one_line(stage.op)
    return f"{name} (added)" if stage.injected else name


def _points(levels: Sequence[Level], values: Sequence[float | None]) -> list[TimelinePoint]:
    return [TimelinePoint(t_s=item.t_s, step_s=value) for item, value in zip(levels, values, strict=True)]


def _value(point: TimelinePoint) -> float | None:
    return point.step_s


def share_bar(share: float | None) -> Markup:
    """Return a small bar for a share of 0-1; nothing where it is not known. The number stands beside it."""
    if share is None:
        return Markup("")
    width = round(min(max(share, 0.0), 1.0) * _BAR_WIDTH, 1)
    svg = Markup('<svg class="bar" width="{0}" height="6" aria-hidden="true"><rect class="rail" width="{0}" height="6"/>')
    return svg.format(_BAR_WIDTH) + Markup('<rect class="fill" width="{}" height="6"/></svg>').format(width)


class RatioScale:
    """A logarithmic axis of speed-ups that all interval drawings of one page share."""

    def __init__(self, intervals: Sequence[Interval]) -> None:
        """Span all ``intervals`` and 1."""
        bounds = [
            bound for item in intervals for bound in (item.low, item.high, item.value) if bound > 0 and math.isfinite(bound)
        ]
        self.low = min([1 / _NARROW, *bounds])
        self.high = max([_NARROW, *bounds])

    def x(self, ratio: float) -> float:
        """Return the place of a ratio on the axis."""
        if not math.isfinite(ratio) or ratio <= self.low:
            return float(_MARGIN if ratio <= self.low else _CHART_WIDTH - _MARGIN)
        part = math.log(min(ratio, self.high) / self.low) / math.log(self.high / self.low)
        return round(_MARGIN + part * (_CHART_WIDTH - 2 * _MARGIN), 1)


def interval_chart(
    scale: RatioScale, predicted: Interval | None, trial: Interval | None, noise: Interval | None, label: str
) -> Markup:
    """Return prediction (hollow, above) and trial (solid, below) on the common axis, with the noise of no change as a band."""
    if predicted is None and trial is None:
        return Markup("")
    head = Markup('<svg class="intervals" width="{0}" height="{1}" viewBox="0 0 {0} {1}" role="img" aria-label="{2}">')
    parts = [head.format(_CHART_WIDTH, _CHART_HEIGHT, label)]
    if noise is not None:
        band = Markup('<rect class="noise" x="{}" y="0" width="{}" height="{}"/>')
        parts.append(band.format(scale.x(noise.low), round(max(1.0, scale.x(noise.high) - scale.x(noise.low)), 1), _AXIS_Y))
    one = scale.x(1.0)
    parts.append(Markup('<path class="one" d="M{0} 0V{1}"/><path class="axis" d="M{2} {1}H{3}"/>').format(
        one, _AXIS_Y, _MARGIN, _CHART_WIDTH - _MARGIN))  # fmt: skip
    for interval, y, name in ((predicted, _PREDICTED_Y, "predicted"), (trial, _TRIAL_Y, "tried")):
        if interval is not None:
            mark = Markup('<g class="{0}"><path d="M{1} {2}H{3}"/><circle cx="{4}" cy="{2}" r="4"/></g>')
            parts.append(mark.format(name, scale.x(interval.low), y, scale.x(interval.high), scale.x(interval.value)))
    parts += [_tick(scale, ratio) for ratio in _ticks(scale)]
    return Markup("").join([*parts, Markup("</svg>")])


def _ticks(scale: RatioScale) -> list[float]:
    """Return 1 and the ends of the axis, leaving out an end that would touch the 1."""
    ends = [end for end in (scale.low, scale.high) if abs(scale.x(end) - scale.x(1.0)) > 3 * _MARGIN]
    return [1.0, *ends]


def _tick(scale: RatioScale, ratio: float) -> Markup:
    return Markup('<text x="{}" y="{}">{}</text>').format(scale.x(ratio), _CHART_HEIGHT - 3, units.ratio(ratio))
