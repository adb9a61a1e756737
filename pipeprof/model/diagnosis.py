"""The Diagnosis: what pipeprof concludes from a Profile.

Everything that is rendered is a view of this one document. Other programs read its names: add freely, never rename,
never remove. Its JSON Schema is generated from these classes (``report/schema``). Nothing here calculates.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from pipeprof.model.profile import CallSite, Change, ElementsState, Host, Role, TrialState, Versions

DIAGNOSIS_SCHEMA = "pipeprof.diagnosis/1"


class InputBound(StrEnum):
    """How far training waits for its input (XProf's bands: 20 % and 5 % of the step)."""

    HIGHLY = "highly"
    MODERATELY = "moderately"
    NOT = "not"
    UNKNOWN = "unknown"


class Limit(StrEnum):
    """What the loop's speed is limited by."""

    INPUT = "input"
    COMPUTE = "compute"
    HOST = "host"
    CONTENTION = "contention"
    STARTUP = "startup"
    UNKNOWN = "unknown"


class Confidence(StrEnum):
    """How good the evidence is."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"


class Severity(StrEnum):
    """How much of the step a finding explains (20 % high, 5 % medium)."""

    HIGH = "high"
    MEDIUM = "medium"
    LOW = "low"
    INFO = "info"


class Relation(StrEnum):
    """Why a finding stands under another."""

    CONSEQUENCE = "consequence"  # the other brings it about
    OTHER_CURE = "other-cure"  # another way to save the same time
    SAME_TIME = "same-time"  # it explains less of the same time, or has a dearer cure, and leads to no change of its own


class Safety(StrEnum):
    """What a change can do to the user's program."""

    SAFE = "safe"
    REORDERS = "reorders"
    USES_MEMORY = "uses-memory"
    CHANGES_DATA = "changes-data"
    MANUAL = "manual"


@dataclass(frozen=True, kw_only=True, slots=True)
class Run:
    """The run that was observed."""

    id: str
    command: tuple[str, ...]
    versions: Versions
    host: Host
    wall_s: float
    exit_status: int | None
    started_at: str = ""
    ended: str = "returned"
    capture_overhead_share: float | None = None
    problems: tuple[str, ...] = ()
    gave_nothing: tuple[str, ...] = ()  # a sentence for each pipeline that was iterated and gave no element
    bench_step_s: float | None = None  # a pipeline alone: the stand-in's own time for a step, 0 for none; null: a program


@dataclass(frozen=True, kw_only=True, slots=True)
class Quantiles:
    """Of a duration, over the steps."""

    p50_s: float
    p95_s: float
    p99_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Steps:
    """The training loop. Shares are of the loop's wall time after the first batch; epoch boundaries are in them."""

    count: int
    median_s: float | None = None
    p95_s: float | None = None
    first_batch_s: float | None = None
    wait_share: float | None = None
    wait_share_low: float | None = None
    wait_share_high: float | None = None
    boundary_wait_share: float | None = None  # the part of it that falls on epoch boundaries
    epochs: int = 0
    method: str = ""
    step: Quantiles | None = None
    wait: Quantiles | None = None  # for one element
    own: Quantiles | None = None  # the loop's own time between two elements
    creation_s: float | None = None  # making an iterator, mean over the epochs
    teardown_s: float | None = None  # taking down the iterator of the epoch before, median over the later epochs
    epoch_first_wait_s: float | None = None  # for the first element of a later epoch, median
    edge_s: float | None = None  # all of that between two epochs, median
    ready_s: float | None = None  # how long an element lies ready in the last buffer, mean (Little's law)


@dataclass(frozen=True, kw_only=True, slots=True)
class Gpu:
    """One GPU, over the whole run."""

    name: str
    sm_share: float | None = None
    memory_bytes: int | None = None
    power_w: float | None = None
    pcie_bytes_per_s: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Resources:
    """What the run used of the machine."""

    cpu_share: float | None = None
    per_core: tuple[float, ...] = ()
    rss_peak_bytes: int | None = None
    memory_limit_bytes: int | None = None
    read_bytes_per_s: float | None = None
    throttled_s: float | None = None
    lock_held_share: float | None = None  # of the loop's time the interpreter's lock was held at least so long
    gpus: tuple[Gpu, ...] = ()
    cpu_s_per_step: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class TimelinePoint:
    """One point of the time line; at most 600, which keep the extremes."""

    t_s: float
    step_s: float | None = None
    wait_s: float | None = None
    cpu_share: float | None = None
    rss_bytes: int | None = None
    gpu_share: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Verdict:
    """The conclusion, in one sentence and in numbers."""

    input_bound: InputBound
    limit: Limit
    sentence: str
    confidence: Confidence
    ceiling_speedup: float | None = None
    ceiling_low: float | None = None
    ceiling_high: float | None = None  # None beside a speed-up: no upper bound is known
    recoverable_low: float | None = (
        None  # share of the step that a ready input gives back, by replay; None: the wait was graded
    )
    recoverable_high: float | None = None
    nothing_to_fix: bool = False  # decided, and no serious finding stands; renderers say it only then


@dataclass(frozen=True, kw_only=True, slots=True)
class StageOp:
    """One type of op inside a stage's function, measured in trace windows."""

    op: str
    share: float  # of the time of the function's ops that TensorFlow traces; those it has found to be cheap it leaves out
    busy_s_per_step: float
    calls_per_step: float
    where: str | None = None  # "train.py:31", where TensorFlow kept the line


class Work(StrEnum):
    """What a stage spends its time on, by isolated measurement."""

    COMPUTING = "computing"
    WAITING = "waiting"
    PYTHON = "python"  # under the interpreter's lock
    NOT_SEPARABLE = "not-separable"  # its cost is within the noise of the measurement


@dataclass(frozen=True, kw_only=True, slots=True)
class IsolatedCost:
    """A stage's own cost: the pipeline that ends with it less the one that ends before it, each replayed alone.

    Seconds are for one step, the intervals at 90 %. Differences below zero are no cost: such a stage is not separable.
    """

    work: Work
    elements_per_s: float | None  # of the pipeline that ends with this stage; null: too fast to tell
    rounds: int
    cpu_s: float
    wall_s: float  # what the stage adds to the time of a step; stages that run side by side add little
    low: float | None = None  # of cpu_s; null after a single round
    high: float | None = None
    wall_low: float | None = None
    wall_high: float | None = None
    cores: float | None = None  # that its ops ran on at once, where it is clearly more than one


@dataclass(frozen=True, kw_only=True, slots=True)
class Stage:
    """One stage as written, with what TensorFlow made of it."""

    id: str
    op: str
    executed_as: str | None  # TensorFlow's node ("MapAndBatch"), None where TensorFlow removed it
    inputs: tuple[str, ...] = ()
    call_site: CallSite | None = None
    elements: int | None = None
    bytes: int | None = None
    busy_s: float | None = None  # wall time inside the stage, as TensorFlow counts it
    cpu_s: float | None = None  # None unless measured
    cpu_source: str | None = None
    busy_s_per_step: float | None = None
    wait_s: float | None = None
    parallelism: float | None = None
    parallelism_note: str | None = None  # "AUTOTUNE", "fixed", "one call at a time"
    parallelism_first: float | None = None  # where AUTOTUNE tunes it: what was seen first
    settled_s: float | None = None  # likewise: how long after the loop's start it changed last
    buffer_size: float | None = None
    buffered_elements: float | None = None
    buffered_bytes: float | None = None
    max_steps_per_s: float | None = None
    is_bottleneck: bool = False
    seen_share: float | None = None  # of the elements that must have passed, those the counters saw
    fused_into: str | None = None  # id of the stage whose time holds this one's: TensorFlow runs both as one node
    injected: bool = False  # TensorFlow added it; the user wrote no such stage
    ops: tuple[StageOp, ...] = ()  # inside its function, the dearest first
    isolated: IsolatedCost | None = None  # null unless measured by itself (bench)


@dataclass(frozen=True, kw_only=True, slots=True)
class Level:
    """A moment of a pipeline, or the mean over some."""

    t_s: float
    buffered: dict[str, float] = field(default_factory=dict)  # stage -> elements
    parallelism: dict[str, float] = field(default_factory=dict)  # stage that AUTOTUNE tunes -> calls at once


class BoundLimit(StrEnum):
    """What bounds the rate of a whole pipeline."""

    CORES = "cores"
    STAGE = "stage"  # one that runs a fixed number of calls at a time, or shares one thread
    THREADS = "threads"
    PYTHON = "python"  # the interpreter's lock
    STORAGE = "storage"
    MEMORY = "memory"


@dataclass(frozen=True, kw_only=True, slots=True)
class StageCores:
    """A stage's part in the best split of the cores."""

    stage_id: str
    cores: float
    waits: bool = False  # its calls take threads of the pool, not cores
    cpu_s_per_step: float | None = None  # as the split counts it


@dataclass(frozen=True, kw_only=True, slots=True)
class Bound:
    """The most that a pipeline could deliver with the best split of the cores; a bound, not a prediction."""

    steps_per_s: float
    limited_by: BoundLimit
    cores: float  # that were shared out
    stage_id: str | None = None  # the stage behind the limit
    stages: tuple[StageCores, ...] = ()
    assumptions: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class ScaledRate:
    """A stage with everything before it, at full speed with so many of its calls at once."""

    calls: int
    elements_per_s: float
    speedup: float  # against one call
    low: float
    high: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Pipeline:
    """One pipeline, source first."""

    id: str
    role: Role
    call_site: CallSite | None = None
    stages: tuple[Stage, ...] = ()
    written: str = ""  # "map → batch → prefetch"
    executed: str = ""  # "MapAndBatch (2 threads, AUTOTUNE) → Prefetch"
    unattributed_s_per_step: float | None = None
    consumer: str = ""
    counters: str = ""  # where the times of the stages come from
    windows: str = ""  # a second source of them
    sources_factor: float | None = None  # by how many times the two differ at most on a stage that matters
    rewrites: tuple[str, ...] = ()  # "map_and_batch_fusion: map, batch → MapAndBatch"
    explained_share: float | None = None  # of the busy time that TensorFlow counted, what a stage or a rewrite explains
    levels: tuple[Level, ...] = ()  # over time
    scaling_stage_id: str = ""  # whose calls at once were varied (bench)
    scaling: tuple[ScaledRate, ...] = ()
    cpu_coverage: float | None = None  # CPU of the stages measured alone, of what the whole pipeline used (bench)
    cpu_s_per_step: float | None = None  # of TensorFlow's threads of this pipeline, their spinning while they wait included
    bound: Bound | None = None  # what the input could deliver at most; None where its stages were not measured


@dataclass(frozen=True, kw_only=True, slots=True)
class Evidence:
    """One number a finding rests on."""

    name: str
    value: float | str | None
    unit: str = ""
    threshold: float | str | None = None
    n: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Finding:
    """One rule that fired."""

    code: str
    name: str
    severity: Severity
    confidence: Confidence
    message: str
    stage_id: str | None = None
    pipeline_id: str | None = None
    call_site: CallSite | None = None
    evidence: tuple[Evidence, ...] = ()
    consequences: tuple[Finding, ...] = ()  # what has the same cause; these have none of their own
    relation: Relation | None = None  # of one under another: why it stands there


@dataclass(frozen=True, kw_only=True, slots=True)
class RuleOutcome:
    """What became of one rule: fired, passed, not applicable, ignored or error."""

    code: str
    name: str
    outcome: str
    reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class Prediction:
    """What a change is expected to give, as a ratio of step times; where its cost comes first, that of later epochs."""

    speedup: float
    low: float
    high: float
    basis: str = ""  # what was not measured, and so is as wide in the interval as it can be
    break_even_epochs: float | None = None  # epochs after which its cost is earned back; None: no cost comes first, or never
    break_even_high: float | None = None  # high end of these; None beside them: perhaps never


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """What a trial showed."""

    state: TrialState
    method: str = "replay"
    reason: str = ""
    speedup: float | None = None
    low: float | None = None
    high: float | None = None
    pairs: int = 0
    elements: ElementsState = ElementsState.UNCHECKED
    elements_compared: int = 0
    epochs_compared: int = 0
    elements_note: str = ""
    also_compared: tuple[str, ...] = ()  # beside the elements: element_spec, cardinality, freshness, draws
    noise_low: float | None = None
    noise_high: float | None = None
    fill_s: float | None = None
    memory_bytes: int | None = None
    baseline_cpu_s: float | None = None  # CPU of one element, the consumer's apart
    candidate_cpu_s: float | None = None
    cpu_ratio: float | None = None  # baseline over candidate, and its interval: what decides between changes that are as fast
    cpu_low: float | None = None
    cpu_high: float | None = None
    read_bytes: int | None = None  # that the process read in the trial
    storage_bytes: int | None = None  # of these from storage; the rest came from the page cache
    on_top_of: tuple[str, ...] = ()
    impossible: bool = False  # the change cannot be made here, or nothing could be shown of it
    undecided: bool = False  # the budget ended before a gain was shown or ruled out; its state is no-difference


@dataclass(frozen=True, kw_only=True, slots=True)
class Rerun:
    """The script itself, run again with confirmed changes and without: whether training got faster, not only its input."""

    id: str
    state: TrialState
    changes: tuple[str, ...]  # ids of the recommendations that were applied
    reason: str = ""
    speedup: float | None = None  # ratio of mean step times, the first step left out, epoch boundaries in it
    low: float | None = None
    high: float | None = None
    pairs: int = 0
    steps: int = 0  # of each process
    whole: bool = False  # the script ran to its end
    baseline_step_s: float | None = None
    candidate_step_s: float | None = None
    baseline_memory_bytes: int | None = None
    candidate_memory_bytes: int | None = None
    baseline_wait_share: float | None = None
    candidate_wait_share: float | None = None
    same_output: bool | None = None  # of standard output, every line of it; null: not compared
    output_note: str = ""  # the first line that differs
    steady_output: bool = False  # it was the same in two runs and more without the changes
    baseline_losses: tuple[float, ...] = ()  # of each process, the last loss that it printed; empty where one printed none
    candidate_losses: tuple[float, ...] = ()
    ceiling: bool = False  # not of changes: of one batch, always ready, in the place of the input


@dataclass(frozen=True, kw_only=True, slots=True)
class Recommendation:
    """One change that pipeprof proposes, with its prediction and its proof."""

    id: str
    findings: tuple[str, ...]
    change: Change
    title: str
    safety: Safety
    call_site: CallSite | None = None
    pipeline_id: str | None = None
    stage_id: str | None = None
    predicted: Prediction | None = None
    memory_bytes: int | None = None  # that it surely holds
    memory_most_bytes: int | None = None  # what it can hold at most where TensorFlow chooses how much; an upper bound
    memory_saved_bytes: int | None = None  # that it gives back of what AUTOTUNE's buffers held; None where that is no aim of it
    break_even_epochs: float | None = None  # as its trial showed
    trial: Trial = field(default_factory=lambda: Trial(state=TrialState.NOT_TRIED))
    diff: str | None = None
    diff_reason: str = ""  # why there is no diff
    sketch: str = ""  # lines of the user's code as they could be, where it is to be done by hand
    caution: str = ""  # what the change can alter, in one sentence
    accepted: bool = False


@dataclass(frozen=True, kw_only=True, slots=True)
class Diagnosis:
    """Everything that pipeprof concludes from one run."""

    schema: str = DIAGNOSIS_SCHEMA
    run: Run
    steps: Steps
    resources: Resources
    verdict: Verdict
    timeline: tuple[TimelinePoint, ...] = ()
    pipelines: tuple[Pipeline, ...] = ()
    findings: tuple[Finding, ...] = ()
    recommendations: tuple[Recommendation, ...] = ()
    rules: tuple[RuleOutcome, ...] = ()
    unused_comments: tuple[str, ...] = ()  # "# pipeprof: ignore[...]" that took nothing back, a sentence each
    trials_note: str = ""  # why nothing was tried, where nothing was
    not_read_again: tuple[str, ...] = ()  # stages whose elements a rule would have compared, and why they were not
    reruns: tuple[Rerun, ...] = ()  # oldest first

    @property
    def all_findings(self) -> tuple[Finding, ...]:
        """Every finding that a rule stands by, also those under another; each is followed by what is under it."""
        return tuple(
            one
            for item in self.findings
            for one in (item, *(under for under in item.consequences if under.relation is not Relation.SAME_TIME))
        )
