"""The words and rows that all renderers share."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import fields, is_dataclass, replace

import pytest

from pipeprof.model.diagnosis import Confidence, InputBound, Limit, Recommendation, RuleOutcome, Stage, Trial, Verdict
from pipeprof.model.profile import TrialState
from pipeprof.report.advice import Outcome
from pipeprof.report.stages import FlowNode, PipelineTable
from pipeprof.report.view import Tone, command_text, end_text, make_sheet
from tests.support.diagnoses import all_diagnoses, healthy, hostile, input_bound, killed, many_findings, no_pipeline, with_gpu
from tests.support.diagnosis_parts import other_recommendations, parallel_calls, run, site, stages, train_pipeline


def strings(value: object) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, tuple):
        for item in value:
            yield from strings(item)
    elif is_dataclass(value):
        for field in fields(value):
            yield from strings(getattr(value, field.name))


def table_of(*given: Stage, unattributed: float | None = None) -> PipelineTable:
    pipeline = replace(train_pipeline(), stages=given, unattributed_s_per_step=unattributed)
    return make_sheet(replace(input_bound(), pipelines=(pipeline,))).pipelines[0]


def drawn(nodes: tuple[FlowNode, ...]) -> list[object]:
    return [[drawn(branch) for branch in node.branches] + [node.row.id] if node.branches else node.row.id for node in nodes]


def test_no_dangerous_character_is_left_in_any_word() -> None:
    words = list(strings(make_sheet(hostile())))

    assert [word for word in words if not word.replace("\n", "").isprintable()] == []


def test_the_same_diagnosis_gives_the_same_sheet() -> None:
    for diagnosis in all_diagnoses().values():
        assert make_sheet(diagnosis) == make_sheet(diagnosis)


@pytest.mark.parametrize(
    ("bound", "tone", "tag"),
    [
        (InputBound.HIGHLY, Tone.BAD, "highly input-bound"),
        (InputBound.MODERATELY, Tone.WARNING, "moderately input-bound"),
        (InputBound.NOT, Tone.WARNING, "not input-bound"),
        (InputBound.UNKNOWN, Tone.UNKNOWN, "not judged"),
    ],
)
def test_the_headline_names_the_band(bound: InputBound, tone: Tone, tag: str) -> None:
    verdict = Verdict(input_bound=bound, limit=Limit.HOST, sentence="So it is.", confidence=Confidence.MEDIUM)

    headline = make_sheet(replace(input_bound(), verdict=verdict)).headline

    assert (headline.tone, headline.sentence) == (tone, "So it is.")
    assert headline.tags == (tag, "limited by Python work between the steps", "medium confidence")


def test_a_ceiling_without_an_upper_bound_has_no_number_for_it() -> None:
    unbounded = replace(input_bound().verdict, ceiling_speedup=7.07, ceiling_low=1.0, ceiling_high=None)

    assert "ceiling 7.07× (no upper bound)" in make_sheet(replace(input_bound(), verdict=unbounded)).headline.tags


def test_what_can_be_had_back_stands_beside_the_wait() -> None:
    graded = replace(input_bound().verdict, recoverable_low=0.10, recoverable_high=0.49)

    assert "had back" not in make_sheet(input_bound()).facts
    assert (
        ", of which 10–49 % can be had back: the rest is hand-over that a ready input pays too;"
        in make_sheet(replace(input_bound(), verdict=graded)).facts
    )


def test_a_killed_run_says_so_in_the_headline() -> None:
    headline = make_sheet(killed()).headline

    assert headline.tone is Tone.BAD
    assert headline.tags[0] == "killed by SIGKILL after 4.0 min"


@pytest.mark.parametrize(
    ("status", "text"),
    [(0, "exit status 0 after 97 s"), (3, "exit status 3 after 97 s"), (-15, "killed by SIGTERM after 97 s"),
     (-250, "killed by signal 250 after 97 s"), (None, "still running after 97 s")],
)  # fmt: skip
def test_the_end_of_a_run_in_words(status: int | None, text: str) -> None:
    assert end_text(run(exit_status=status)) == text


def test_a_run_that_was_only_traced_neither_ended_nor_goes_on() -> None:
    assert end_text(run(exit_status=None, ended="traced")) == "traced for 97 s"


def test_a_command_can_be_typed_again() -> None:
    assert command_text(run(command=("my train.py", "--name", "a'b"))) == """'my train.py' --name 'a'"'"'b'"""


def test_the_facts_leave_out_what_was_not_measured() -> None:
    assert make_sheet(no_pipeline()).facts == "No training step was seen."
    assert "not measured" not in make_sheet(with_gpu()).facts
    assert "NVIDIA A100-SXM4-40GB 31 % busy" in make_sheet(with_gpu()).facts


def test_a_row_names_the_users_line_and_what_tensorflow_ran() -> None:
    row = table_of(*stages()).rows[1]

    assert (row.where, row.call, row.executed, row.path) == (
        "train.py:42",
        ".map(decode)",
        "Map",
        "/home/ada/project/train.py:42",
    )
    assert (row.busy, row.slots, row.slots_note, row.max_rate) == ("180 ms", "1", "one call at a time", "5.5")
    assert row.is_bottleneck


def test_a_chain_over_several_lines_shows_the_line_of_each_call() -> None:
    chained = replace(stages()[1], call_site=site(41, "(ds\n.map(decode))", method_line=47))

    assert table_of(stages()[0], chained).rows[1].where == "train.py:47"


def test_shares_are_of_all_work_and_the_unattributed_time_is_the_last_row() -> None:
    rows = table_of(
        replace(stages()[0], busy_s_per_step=0.03), replace(stages()[1], busy_s_per_step=0.05), unattributed=0.02
    ).rows  # fmt: skip

    assert [row.share for row in rows] == ["30 %", "50 %", "20 %"]
    assert (rows[-1].call, rows[-1].busy, rows[-1].unattributed) == ("not explained by any stage", "20 ms", True)


def test_stages_that_were_not_measured_have_no_share() -> None:
    silent = replace(stages()[0], busy_s_per_step=None)

    assert [row.share for row in table_of(silent).rows] == ["–"]


def test_removed_and_added_stages_say_so() -> None:
    removed, added = replace(stages()[0], executed_as=None), stages()[4]

    assert [row.executed for row in table_of(removed, added).rows] == ["removed by TensorFlow", "added by TensorFlow"]


def test_a_stage_that_runs_as_one_with_another_is_no_gap() -> None:
    fused = replace(stages()[2], fused_into="s1", busy_s_per_step=None)
    pipeline = replace(train_pipeline(), stages=(*stages()[:2], fused))

    sheet = make_sheet(replace(input_bound(), pipelines=(pipeline,)))

    assert [row.fused_with for row in sheet.pipelines[0].rows[:3]] == ["", "", ".map"]
    assert not any("batch" in gap.text for gap in sheet.gaps)


def test_the_bottleneck_is_told_with_its_limit() -> None:
    parallel = replace(stages()[1], parallelism=4.0, parallelism_note="AUTOTUNE")

    assert table_of(*stages()).bottleneck_limit == "at most 5.5 steps/s, one call at a time"
    assert table_of(parallel).bottleneck_limit == "at most 5.5 steps/s, 4 calls at once"
    assert table_of(replace(parallel, max_steps_per_s=None)).bottleneck_limit == "the slowest part of the pipeline"
    assert table_of(stages()[0]).bottleneck == ""


def test_a_chain_is_drawn_from_source_to_end_and_branches_nest() -> None:
    sheet = make_sheet(many_findings())

    assert drawn(sheet.pipelines[0].flow) == ["s0", "s1", "s2", "s3", "s4"]
    assert drawn(sheet.pipelines[1].flow) == [[["a", "b"], ["c"], "d"]]


def test_a_stage_that_feeds_two_others_is_drawn_once_with_its_inputs() -> None:
    def made(name: str, *inputs: str) -> Stage:
        return Stage(id=name, op="map", executed_as="Map", inputs=inputs)

    (node,) = table_of(made("a"), made("b", "a"), made("c", "b"), made("d", "b", "c")).flow

    assert [[item.row.id for item in branch] for branch in node.branches] == [["a", "b"], ["b", "c"]]
    assert [item.drawn_before for item in node.branches[1]] == [True, False]


def test_endless_nesting_cycles_and_lost_inputs_are_drawn_to_an_end() -> None:
    deep = [Stage(id="0", op="range", executed_as="Range")]
    joins = range(1, 2000)
    deep += [Stage(id=str(index), op="join", executed_as="Join", inputs=(str(index - 1), "x")) for index in joins]
    deep.append(Stage(id="x", op="range", executed_as="Range", inputs=("gone",)))
    circle = (
        Stage(id="a", op="map", executed_as="Map", inputs=("b",)),
        Stage(id="b", op="map", executed_as="Map", inputs=("a",)),
    )

    assert table_of(*deep).flow[-1].row.id == "1999"
    assert {node.row.id for node in table_of(*circle).flow} == {"a", "b"}
    assert table_of().flow == ()


def test_training_comes_first_and_findings_come_by_severity() -> None:
    sheet = make_sheet(many_findings())

    assert [table.title for table in sheet.pipelines] == [
        "train pipeline, model.fit", "validation pipeline, model.evaluate", "other pipeline, for loop",
    ]  # fmt: skip
    assert [finding.severity.value for finding in sheet.findings[:6]] == ["high", "high", "high", "medium", "medium", "medium"]


def test_evidence_is_told_in_its_own_unit() -> None:
    rows = make_sheet(many_findings()).findings[0].evidence

    assert [(row.value, row.threshold) for row in rows] == [
        ("3.4 MB", ""), ("shuffled", ""), ("120/s", ""), ("1.20×", "1.05×"), ("not measured", ""),
    ]  # fmt: skip
    assert make_sheet(input_bound()).findings[0].evidence[1].phrase == "share of the step 87 % (threshold 20 %, n = 412)"


def test_every_outcome_of_a_trial_is_told() -> None:
    told = {item.id: (item.outcome.value, item.trial, item.elements) for item in make_sheet(many_findings()).advice}

    assert told == {
        "r1": ("confirmed", "2.14× (2.05–2.22×) by replay in 12 pairs", "elements identical: 640 compared over 2 epochs"),
        "r2": (
            "refused",
            "0.81× (0.78–0.84×) by replay in 8 pairs; memory grew past 80 % of the limit",
            "elements identical: 320 compared over 2 epochs",
        ),
        "r3": (
            "no difference",
            "1.00× (0.98–1.02×) by replay in 8 pairs",
            "same elements in another order: 640 compared over 1 epoch",
        ),
        "r4": (
            "refused",
            "1.40× (1.30–1.50×) by replay in 6 pairs; it was claimed safe",
            "ELEMENTS DIFFER: 64 compared over 1 epoch; element 3 of epoch 1: image differs by 0.5",
        ),
        "r5": ("not tried", "the budget of 60 s was spent", ""),
        "r6": (
            "confirmed",
            f"1.31× (1.22–1.40×) by re-running the script in 4 pairs; on top of: {parallel_calls().title}",
            "elements the same but for their randomness: 640 compared over 2 epochs",
        ),
    }


def undecided() -> Recommendation:
    trial = Trial(
        state=TrialState.NO_DIFFERENCE, speedup=1.68, low=0.74, high=3.84, pairs=3, undecided=True,
        reason="not told apart from no change",
    )  # fmt: skip
    return replace(parallel_calls(), trial=trial, accepted=False)


def test_a_change_that_is_as_fast_for_less_cpu_says_so() -> None:
    trial = Trial(
        state=TrialState.LESS_CPU, speedup=1.0, low=0.99, high=1.01, pairs=3, reason="as fast as before",
        baseline_cpu_s=0.003, candidate_cpu_s=0.002, cpu_ratio=1.5, cpu_low=1.4, cpu_high=1.6,
    )  # fmt: skip

    (text,) = make_sheet(replace(input_bound(), recommendations=(replace(parallel_calls(), trial=trial),))).advice

    assert text.outcome == "less CPU"
    assert "as fast as before; it takes less CPU: 3.0 ms → 2.0 ms an element" in text.trial


@pytest.mark.parametrize(
    ("facts", "trial", "costs"),
    [
        ({"cpu_low": 1.4, "cpu_high": 1.6}, "it takes less CPU: 3.0 ms → 2.0 ms an element", ""),
        ({"cpu_low": 0.6, "cpu_high": 0.8}, "it takes more CPU: 3.0 ms → 2.0 ms an element", ""),
        ({"cpu_low": 1.0, "cpu_high": 1.6}, "", ""),
        ({"read_bytes": 900_000, "storage_bytes": 0}, "", ""),
        ({"read_bytes": 90_000_000, "storage_bytes": 0}, "", "files came from the page cache"),
        (
            {"read_bytes": 90_000_000, "storage_bytes": 45_000_000},
            "",
            "50 % of what was read came from storage, the rest from the",
        ),
    ],
)
def test_what_a_trial_took_of_the_cores_and_where_its_files_came_from_is_told(
    facts: dict[str, float], trial: str, costs: str
) -> None:
    same = Trial(
        state=TrialState.NO_DIFFERENCE, speedup=1.0, low=0.99, high=1.01, pairs=3, reason="as fast",
        baseline_cpu_s=0.003, candidate_cpu_s=0.002, cpu_ratio=1.5, **facts,
    )  # fmt: skip
    told = replace(parallel_calls(), trial=same, accepted=False, memory_bytes=None)

    (text,) = make_sheet(replace(input_bound(), recommendations=(told,))).advice

    assert text.trial == "; ".join(part for part in ("1.00× (0.99–1.01×) by replay in 3 pairs", "as fast", trial) if part)
    assert text.costs.startswith(costs)
    assert bool(text.costs) is bool(costs)


def test_a_trial_that_decided_nothing_is_no_trial_without_a_difference() -> None:
    sheet = make_sheet(replace(input_bound(), recommendations=(*other_recommendations(), undecided())))

    assert "1 undecided, " in sheet.advice_summary
    (text,) = [item for item in sheet.advice if item.outcome is Outcome.UNDECIDED]
    assert text.trial == (
        "1.68× (0.74–3.84×) by replay in 3 pairs; not told apart from no change; "
        "more pairs would decide it: give them time with --budget"
    )
    assert text.diff


def test_why_a_change_has_no_patch_is_not_said_twice() -> None:
    reason = "it cannot be made mechanically: it changes your own code"
    manual = replace(parallel_calls(), diff=None, diff_reason=reason, trial=Trial(state=TrialState.NOT_TRIED, reason=reason))

    (text,) = make_sheet(replace(input_bound(), recommendations=(manual,))).advice

    assert (text.trial, text.diff_reason) == (reason, "")


def test_confirmed_changes_come_first_and_harmful_ones_last() -> None:
    assert [item.id for item in make_sheet(many_findings()).advice] == ["r1", "r6", "r5", "r3", "r2", "r4"]


def test_a_confirmed_change_that_is_not_applied_by_itself_says_so() -> None:
    standing = {item.id: item.standing for item in make_sheet(many_findings()).advice}

    assert standing["r6"] == "left out of the patch unless you ask for it"
    assert set(standing.values()) == {"", standing["r6"]}


def test_the_news_is_good_only_where_the_verdict_says_that_there_is_nothing_to_fix() -> None:
    serious = replace(healthy(), verdict=replace(healthy().verdict, nothing_to_fix=False))

    assert make_sheet(healthy()).headline.tone is Tone.GOOD
    assert make_sheet(serious).headline.tone is Tone.WARNING


def test_everything_that_was_not_measured_is_listed_once_and_what_matters_first() -> None:
    gaps = make_sheet(many_findings()).gaps
    texts = [gap.text for gap in gaps]

    assert "Time inside .zip((b, c)) of the validation pipeline" in texts
    assert "train.py:63 .zip((b, c)): the counters saw 40 % of its elements; the rest is inferred" in texts
    assert len(texts) == len(set(texts))
    assert [gap.minor for gap in gaps] == sorted(gap.minor for gap in gaps)


def test_problems_failed_rules_and_missing_numbers_are_gaps() -> None:
    base = input_bound()
    silent = tuple(replace(item, busy_s_per_step=None) for item in stages())
    blind = replace(
        base,
        run=run(problems=("no counters: AUTOTUNE is off",), capture_overhead_share=None),
        steps=replace(base.steps, wait_share=None),
        verdict=replace(base.verdict, ceiling_speedup=None),
        rules=(RuleOutcome(code="PP999", name="broken", outcome="error", reason="KeyError: 'x'"),),
        pipelines=(replace(train_pipeline(), counters="", stages=silent),),
    )

    assert [gap.text for gap in make_sheet(blind).gaps if not gap.minor] == [
        "no counters: AUTOTUNE is off",
        "Rule PP999 failed: KeyError: 'x'",
        "Waiting: the share of the time that training waits for input",
        "Ceiling: what the fastest possible input would give",
        "Time inside the stages of the train pipeline",
    ]
    assert "Machine: pipeprof's own cost" in [gap.text for gap in make_sheet(blind).gaps]


def test_a_gpu_that_keeps_silent_is_a_gap() -> None:
    silent = replace(with_gpu(), resources=replace(with_gpu().resources, gpus=()))

    assert "Load of 1 GPU: NVIDIA A100-SXM4-40GB" in [gap.text for gap in make_sheet(with_gpu()).gaps]
    assert "Load of 2 GPUs: no sample was taken" in [gap.text for gap in make_sheet(silent).gaps]
