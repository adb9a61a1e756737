"""Parts of hand-made Diagnosis documents: a pipeline, findings and recommendations of every outcome."""

from __future__ import annotations

import math
from dataclasses import replace

from pipeprof.model.diagnosis import (
    Confidence,
    Evidence,
    Finding,
    Pipeline,
    Prediction,
    Recommendation,
    Run,
    Safety,
    Severity,
    Stage,
    TimelinePoint,
    Trial,
)
from pipeprof.model.profile import CallSite, Change, ElementsState, Host, Role, TrialState, Versions

TRAIN = "/home/ada/project/train.py"
LIST_CODE = 'tf.data.Dataset.list_files("data/*.jpg")'
CHAIN = f"({LIST_CODE}\n    .map(decode)\n    .batch(32)\n    .prefetch(1))"
HOSTILE = "<script>alert('pipeprof')</script>\x1b[31mred\x1b[0m\x07\x9b2J\u202egnp.exe\r\n\tend"

PARALLEL_DIFF = f"""--- {TRAIN}
+++ {TRAIN}
@@ -40,5 +40,5 @@
 def pipeline():
     ds = {LIST_CODE}
-    ds = ds.map(decode)
+    ds = ds.map(decode, num_parallel_calls=tf.data.AUTOTUNE)
     ds = ds.batch(32)
     return ds.prefetch(1)
"""


def site(line: int, code: str, file: str = TRAIN, method_line: int | None = None) -> CallSite:
    """Return a call site of one line."""
    return CallSite(
        file=file,
        line=line,
        column=9,
        end_line=line,
        end_column=9 + len(code),
        function="pipeline",
        code=code,
        method_line=method_line,
    )


def run(**changes: object) -> Run:
    """Return an ordinary run that returned."""
    base = Run(
        id="20260301-101500-train.py-4711",
        command=("train.py", "--epochs", "3"),
        versions=Versions(pipeprof="0.1.0", python="3.11.9", tensorflow="2.21.0", keras="3.15.1", keras_backend="tensorflow"),
        host=Host(cores=8, memory_bytes=16_000_000_000, memory_limit_bytes=8_000_000_000, cpu_model="AMD EPYC 7B13"),
        wall_s=97.0,
        exit_status=0,
        started_at="2026-03-01T10:15:00+00:00",
        capture_overhead_share=0.004,
    )
    return replace(base, **changes)  # type: ignore[arg-type]


def timeline(wait: float, step: float = 0.206, points: int = 120, gpu: bool = False) -> tuple[TimelinePoint, ...]:
    """Return a time line with a slow start, a ripple and, where asked for, a GPU."""
    return tuple(
        TimelinePoint(
            t_s=index * 0.75,
            step_s=step * (1 + 0.08 * math.sin(index / 3)) * (4 if index % 40 == 0 else 1),
            wait_s=step * wait * (1 + 0.12 * math.sin(index / 3)) * (4 if index % 40 == 0 else 1),
            cpu_share=min(1.0, 0.3 + 0.1 * math.sin(index / 5)),
            rss_bytes=int(1.2e9 + 2e6 * index),
            gpu_share=0.3 + 0.2 * math.sin(index / 4) if gpu else None,
        )
        for index in range(points)
    )


def stages() -> tuple[Stage, ...]:
    """Return four written stages, one of them the bottleneck, and one that TensorFlow added."""
    return (
        Stage(
            id="s0",
            op="list_files",
            executed_as="TensorSlice",
            call_site=site(41, LIST_CODE),
            elements=13_184,
            busy_s_per_step=0.00031,
            max_steps_per_s=3200.0,
            parallelism_note="one call at a time",
        ),
        Stage(
            id="s1",
            op="map",
            executed_as="Map",
            inputs=("s0",),
            call_site=site(42, "ds.map(decode)"),
            elements=13_184,
            bytes=1_980_000_000,
            busy_s=74.2,
            busy_s_per_step=0.18,
            wait_s=0.4,
            parallelism_note="one call at a time",
            max_steps_per_s=5.5,
            is_bottleneck=True,
        ),
        Stage(
            id="s2",
            op="batch",
            executed_as="ParallelBatch",
            inputs=("s1",),
            call_site=site(43, "ds.batch(32)"),
            elements=412,
            busy_s_per_step=0.0042,
            parallelism=2.0,
            parallelism_note="AUTOTUNE",
            max_steps_per_s=470.0,
        ),
        Stage(
            id="s3",
            op="prefetch",
            executed_as="Prefetch",
            inputs=("s2",),
            call_site=site(44, "ds.prefetch(1)"),
            elements=412,
            busy_s_per_step=0.00002,
            buffered_elements=0.1,
            buffered_bytes=1.9e6,
        ),
        Stage(
            id="s4",
            op="model",
            executed_as="MaxIntraOpParallelism",
            inputs=("s3",),
            injected=True,
            busy_s_per_step=0.00001,
        ),
    )


def train_pipeline() -> Pipeline:
    """Return the training pipeline of ``input_bound``."""
    return Pipeline(
        id="p0",
        role=Role.TRAIN,
        call_site=site(44, "ds.prefetch(1)"),
        stages=stages(),
        written="list_files → map → batch → prefetch",
        executed="TensorSlice → Map (one call at a time) → ParallelBatch (2 threads, AUTOTUNE) → Prefetch",
        unattributed_s_per_step=0.0038,
        consumer="model.fit",
        counters="tf.data model",
    )


def sequential_map() -> Finding:
    """Return the finding about the bottleneck."""
    return Finding(
        code="PP201",
        name="sequential-map",
        severity=Severity.HIGH,
        confidence=Confidence.HIGH,
        stage_id="s1",
        pipeline_id="p0",
        call_site=site(42, "ds.map(decode)"),
        message=(
            "decode runs one call at a time while 7 of 8 cores are idle, and the training step waits for it. "
            "Let TensorFlow run several calls at once."
        ),
        evidence=(
            Evidence(name="busy per step", value=0.18, unit="s", n=412),
            Evidence(name="share of the step", value=0.87, unit="share", threshold=0.2, n=412),
            Evidence(name="idle cores", value=7.0, threshold=1.0),
        ),
    )


def parallel_calls() -> Recommendation:
    """Return a change that a replay confirmed."""
    return Recommendation(
        id="r1",
        findings=("PP201",),
        title="Decode on several cores: .map(decode, num_parallel_calls=tf.data.AUTOTUNE)",
        change=Change(kind="parallel_calls", params={"num_parallel_calls": -1}),
        safety=Safety.SAFE,
        call_site=site(42, "ds.map(decode)"),
        pipeline_id="p0",
        stage_id="s1",
        accepted=True,
        predicted=Prediction(speedup=2.2, low=1.9, high=2.4),
        diff=PARALLEL_DIFF,
        trial=Trial(
            state=TrialState.CONFIRMED,
            speedup=2.14,
            low=2.05,
            high=2.22,
            pairs=12,
            elements=ElementsState.IDENTICAL,
            elements_compared=640,
            epochs_compared=2,
            noise_low=0.985,
            noise_high=1.013,
        ),
    )


def worse_cache() -> Recommendation:
    """Return a change that turned out to be harmful."""
    return Recommendation(
        id="r2",
        findings=("PP401",),
        title="Keep the decoded images: .cache() after .map(decode)",
        change=Change(kind="cache", params={"place": "memory"}),
        safety=Safety.USES_MEMORY,
        call_site=site(42, "ds.map(decode)"),
        pipeline_id="p0",
        stage_id="s1",
        predicted=Prediction(speedup=1.6, low=0.9, high=2.3, break_even_epochs=1.1),
        memory_bytes=6_400_000_000,
        break_even_epochs=1.4,
        caution="The cache holds every decoded image for as long as the program runs.",
        diff_reason="a harmful change is never written as a patch",
        trial=Trial(
            state=TrialState.WORSE,
            reason="memory grew past 80 % of the limit",
            speedup=0.81,
            low=0.78,
            high=0.84,
            pairs=8,
            elements=ElementsState.IDENTICAL,
            elements_compared=320,
            epochs_compared=2,
            fill_s=9.4,
        ),
    )


def other_recommendations() -> tuple[Recommendation, ...]:
    tie = Trial(
        state=TrialState.NO_DIFFERENCE,
        speedup=1.003,
        low=0.98,
        high=1.02,
        pairs=8,
        elements=ElementsState.REORDERED,
        elements_compared=640,
        epochs_compared=1,
    )
    liar = Trial(
        state=TrialState.WORSE,
        reason="it was claimed safe",
        speedup=1.4,
        low=1.3,
        high=1.5,
        pairs=6,
        elements=ElementsState.DIFFERENT,
        elements_compared=64,
        epochs_compared=1,
        elements_note="element 3 of epoch 1: image differs by 0.5",
    )
    rerun = Trial(
        state=TrialState.CONFIRMED,
        method="rerun",
        speedup=1.31,
        low=1.22,
        high=1.4,
        pairs=4,
        elements=ElementsState.SAME_BUT_RANDOM,
        elements_compared=640,
        epochs_compared=2,
        on_top_of=("r1",),
    )
    base = replace(parallel_calls(), accepted=False)
    return (
        replace(
            base,
            id="r3",
            title="Give up the order of elements",
            trial=tie,
            safety=Safety.REORDERS,
            diff=None,
            diff_reason="it made no difference",
            caution="Elements arrive in another order at every run.",
        ),
        replace(base, id="r4", title="Vectorise normalise", trial=liar, diff=None, diff_reason="it changed the data"),
        replace(
            base,
            id="r5",
            title="Convert the JPEG files to TFRecord shards",
            safety=Safety.MANUAL,
            diff=None,
            predicted=None,
            diff_reason="the change is outside the script: pipeprof convert data/ packed/",
            sketch="def decode(records):  # <32> records at once\n    return tf.io.parse_example(records, features)",
            trial=Trial(state=TrialState.NOT_TRIED, reason="the budget of 60 s was spent"),
        ),
        replace(
            base,
            id="r6",
            title="Prefetch two batches",
            trial=rerun,
            safety=Safety.CHANGES_DATA,
            caution="Random augmentation draws other numbers.",
        ),
    )
