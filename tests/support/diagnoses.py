"""Hand-made Diagnosis documents: one for each shape of result that the reports must speak well about."""

from __future__ import annotations

from dataclasses import replace

from pipeprof.model.diagnosis import (
    Confidence,
    Diagnosis,
    Evidence,
    Finding,
    Gpu,
    InputBound,
    Limit,
    Pipeline,
    Relation,
    Resources,
    RuleOutcome,
    Severity,
    Stage,
    Steps,
    Verdict,
)
from pipeprof.model.profile import CallSite, Role
from tests.support.diagnosis_parts import (
    HOSTILE,
    PARALLEL_DIFF,
    other_recommendations,
    parallel_calls,
    run,
    sequential_map,
    site,
    stages,
    timeline,
    train_pipeline,
    worse_cache,
)


def input_bound() -> Diagnosis:
    """A highly input-bound run with a confirmed change and a harmful one."""
    return Diagnosis(
        run=run(),
        steps=Steps(
            count=412,
            median_s=0.206,
            p95_s=0.24,
            first_batch_s=1.8,
            wait_share=0.62,
            wait_share_low=0.58,
            wait_share_high=0.66,
            boundary_wait_share=0.02,
            epochs=3,
            method="keras",
        ),
        resources=Resources(
            cpu_share=0.31,
            per_core=(0.9, 0.3, 0.2, 0.2, 0.2, 0.2, 0.2, 0.2),
            rss_peak_bytes=1_440_000_000,
            memory_limit_bytes=8_000_000_000,
            read_bytes_per_s=34e6,
            throttled_s=0.0,
            cpu_s_per_step=0.51,
        ),
        verdict=Verdict(
            input_bound=InputBound.HIGHLY,
            limit=Limit.INPUT,
            confidence=Confidence.HIGH,
            sentence=(
                "Training waits 62 % of its time for input; "
                "with an input that is always ready it would run about 2.4\N{MULTIPLICATION SIGN} faster."
            ),
            ceiling_speedup=2.4,
            ceiling_low=2.2,
            ceiling_high=2.7,
        ),
        timeline=timeline(0.62),
        pipelines=(train_pipeline(),),
        findings=(sequential_map(),),
        recommendations=(parallel_calls(), worse_cache()),
        rules=(
            RuleOutcome(code="PP201", name="sequential-map", outcome="fired"),
            RuleOutcome(code="PP401", name="cacheable-prefix", outcome="passed"),
            RuleOutcome(code="PP108", name="copy-bound", outcome="not applicable", reason="there is no GPU"),
        ),
    )


def healthy() -> Diagnosis:
    """A run whose input keeps up."""
    quick = tuple(replace(stage, busy_s_per_step=(stage.busy_s_per_step or 0) / 20, is_bottleneck=False) for stage in stages())
    return replace(
        input_bound(),
        steps=Steps(
            count=412,
            median_s=0.086,
            p95_s=0.09,
            first_batch_s=0.4,
            wait_share=0.021,
            wait_share_low=0.014,
            wait_share_high=0.028,
            epochs=3,
            method="keras",
        ),
        verdict=Verdict(
            input_bound=InputBound.NOT,
            limit=Limit.COMPUTE,
            confidence=Confidence.HIGH,
            sentence="Nothing to fix in the training input: training waits 2 % of its time for it.",
            ceiling_speedup=1.01,
            ceiling_low=1.0,
            ceiling_high=1.03,
            nothing_to_fix=True,
        ),
        timeline=timeline(0.02, step=0.086),
        pipelines=(replace(train_pipeline(), stages=quick, unattributed_s_per_step=None),),
        findings=(),
        recommendations=(),
        rules=(RuleOutcome(code="PP201", name="sequential-map", outcome="passed"),),
    )


def killed() -> Diagnosis:
    """A run that the out-of-memory killer ended; nothing could be tried."""
    sentence = "The script was killed by SIGKILL after 4 min; memory grew 1.2 GB per epoch below cache at train.py:31."
    return replace(
        input_bound(),
        run=run(
            exit_status=-9,
            ended="killed",
            wall_s=243.0,
            problems=("the last snapshot of TensorFlow's counters was taken 0.2 s before the end",),
        ),
        verdict=Verdict(input_bound=InputBound.UNKNOWN, limit=Limit.UNKNOWN, confidence=Confidence.LOW, sentence=sentence),
        recommendations=(),
        trials_note="none, for the script's process was killed",
    )


def no_pipeline() -> Diagnosis:
    """A script that never touched tf.data."""
    return Diagnosis(
        run=run(wall_s=0.8, command=("hello.py",)),
        steps=Steps(count=0),
        resources=Resources(),
        verdict=Verdict(
            input_bound=InputBound.UNKNOWN,
            limit=Limit.UNKNOWN,
            confidence=Confidence.LOW,
            sentence="No verdict: the script consumed no tf.data pipeline.",
        ),
        trials_note="none, for there is no pipeline to change",
    )


def many_findings() -> Diagnosis:
    """Eleven findings, recommendations of every state and kind of safety, three pipelines, one of them with two branches."""
    severities = (Severity.LOW, Severity.MEDIUM, Severity.HIGH, Severity.INFO)
    findings = tuple(
        Finding(
            code=f"PP{300 + index}",
            name=f"finding-number-{index}",
            severity=severities[index % 4],
            confidence=Confidence.MEDIUM,
            message=f"Something of rank {index} costs time. Change it.",
            call_site=site(50 + index, "ds.take(10)"),
            evidence=(
                Evidence(name="read", value=3.4e6, unit="bytes"),
                Evidence(name="order", value="shuffled"),
                Evidence(name="rate", value=120.0, unit="/s"),
                Evidence(name="gain", value=1.2, unit="\N{MULTIPLICATION SIGN}", threshold=1.05),
                Evidence(name="idle", value=None, unit="share"),
            ),
        )
        for index in range(11)
    )
    branches = Pipeline(
        id="p1",
        role=Role.VALIDATION,
        call_site=site(63, "tf.data.Dataset.zip((a, b))"),
        consumer="model.evaluate",
        stages=(
            Stage(
                id="a", op="range", executed_as="Range", call_site=site(61, "tf.data.Dataset.range(10)"), busy_s_per_step=1e-6
            ),
            Stage(
                id="b",
                op="map",
                executed_as="ParallelMapV2",
                inputs=("a",),
                call_site=site(62, "a.map(f)"),
                parallelism=4.0,
                parallelism_note="fixed",
                busy_s_per_step=0.002,
                is_bottleneck=True,
                max_steps_per_s=2000.0,
            ),
            Stage(id="c", op="from_tensors", executed_as=None, call_site=site(62, "tf.data.Dataset.from_tensors(x)")),
            Stage(
                id="d",
                op="zip",
                executed_as="Zip",
                inputs=("b", "c"),
                call_site=site(63, "tf.data.Dataset.zip((b, c))"),
                seen_share=0.4,
            ),
        ),
    )
    return replace(
        input_bound(),
        findings=findings,
        recommendations=(parallel_calls(), worse_cache(), *other_recommendations()),
        pipelines=(branches, train_pipeline(), replace(branches, id="p2", role=Role.OTHER, consumer="for loop")),
    )


def with_gpu() -> Diagnosis:
    """A run with two GPUs, one of which does not report its load."""
    base = input_bound()
    names = ("NVIDIA A100-SXM4-40GB", "NVIDIA A100-SXM4-40GB")
    return replace(
        base,
        run=replace(base.run, host=replace(base.run.host, gpus=names)),
        resources=replace(
            base.resources,
            gpus=(
                Gpu(name=names[0], sm_share=0.31, memory_bytes=11_000_000_000, power_w=142.0, pcie_bytes_per_s=2.1e9),
                Gpu(name=names[1]),
            ),
        ),
        timeline=timeline(0.62, gpu=True),
    )


def hostile() -> Diagnosis:
    """User text made to break a page or a terminal: markup, escape codes, direction marks, very long and lone surrogates."""
    base = input_bound()
    long_path = "/data/" + "very_long_directory_name/" * 12 + "train_" + "x" * 120 + ".py"
    evil = CallSite(
        file=long_path + HOSTILE, line=7, column=0, end_line=7, end_column=9, function=HOSTILE, code=f"ds.map({HOSTILE!s})"
    )
    wide = replace(stages()[1], call_site=evil, op="map" + HOSTILE, executed_as="Parallel" + "MapV" * 40 + HOSTILE)
    return replace(
        base,
        run=replace(base.run, id="run" + HOSTILE, command=("caf\udce9.py", HOSTILE, "日本語" * 40), problems=(HOSTILE,)),
        verdict=replace(base.verdict, sentence="Waits for " + HOSTILE),
        pipelines=(replace(train_pipeline(), stages=(stages()[0], wide, *stages()[2:]), written=HOSTILE, consumer=HOSTILE),),
        findings=(
            replace(
                sequential_map(),
                message=HOSTILE,
                name=HOSTILE,
                call_site=evil,
                evidence=(Evidence(name=HOSTILE, value=HOSTILE, unit=HOSTILE),),
            ),
        ),
        recommendations=(
            replace(
                parallel_calls(),
                title=HOSTILE,
                diff=PARALLEL_DIFF + "+" + HOSTILE + "\n",
                caution=HOSTILE,
                trial=replace(parallel_calls().trial, reason=HOSTILE, elements_note=HOSTILE),
            ),
        ),
        trials_note=HOSTILE,
    )


def one_cause() -> Diagnosis:
    """A sequential map that another cure would save the time of, a consequence of it, and two rules that stood back."""
    cure = replace(
        sequential_map(), code="PP407", name="cacheable-inside", relation=Relation.OTHER_CURE, severity=Severity.MEDIUM,
        message="train.py:42 .map(decode) makes the same picture in every epoch before its first random op. Cache it there.",
    )  # fmt: skip
    burst = replace(
        cure, code="PP106", name="bursty-input", relation=Relation.CONSEQUENCE, call_site=site(57, "fit(ds)"), evidence=(),
        message="9 of 412 steps wait long: 87 % of all waiting. A larger buffer bridges it.",
    )  # fmt: skip
    less = (("PP602", "parse-single"), ("PP705", "text-parsing"))
    settled = [replace(cure, code=code, name=name, relation=Relation.SAME_TIME) for code, name in less]
    return replace(input_bound(), findings=(replace(sequential_map(), consequences=(burst, cure, *settled)),))


def all_diagnoses() -> dict[str, Diagnosis]:
    """Return every document of this module by name."""
    makers = (input_bound, healthy, killed, no_pipeline, many_findings, with_gpu, hostile, one_cause)
    return {maker.__name__: maker() for maker in makers}
