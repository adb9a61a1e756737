"""The Profile: what was measured, and nothing that was concluded.

One frozen document of bounded size: whatever grows with the run (steps, samples, epochs) is kept as log-bucketed
histograms and as at most ``MAX_BINS`` time bins. It is written again and again while the script runs, so that any death
leaves the last one. Times are float seconds on one monotonic clock that starts with the capture; ``None`` always means
"not measured". Nothing here calculates.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum

from pipeprof.model.looks import ElementLook

PROFILE_SCHEMA = "pipeprof.profile/1"
MAX_BINS = 600
LOCK_SEEN_S = 0.0005  # a waking thread that finds the interpreter's lock free is back in 0.1-0.2 ms; shorter holds are not seen
TRACED = "traced"


class Role(StrEnum):
    """What a pipeline is consumed for."""

    TRAIN = "train"
    VALIDATION = "validation"
    OTHER = "other"


class TrialState(StrEnum):
    """What became of one trial."""

    CONFIRMED = "confirmed"  # faster
    LESS_CPU = "less-cpu"  # as fast, for clearly less CPU
    NO_DIFFERENCE = "no-difference"
    WORSE = "worse"
    NOT_TRIED = "not-tried"

    @property
    def is_gain(self) -> bool:
        """Whether the pipeline is better off with the change."""
        return self in {TrialState.CONFIRMED, TrialState.LESS_CPU}


class ElementsState(StrEnum):
    """What became of the elements under a change."""

    IDENTICAL = "identical"
    EQUAL_WITHIN_ROUNDING = "equal-within-rounding"
    SAME_BUT_RANDOM = "same-but-random"
    REORDERED = "reordered"
    DIFFERENT = "different"
    UNCHECKED = "unchecked"


@dataclass(frozen=True, kw_only=True, slots=True)
class CallSite:
    """An exact range of the user's source. Lines count from 1, columns from 0 in characters, the end is exclusive."""

    file: str
    line: int
    column: int
    end_line: int
    end_column: int
    function: str
    code: str  # the source text of the range, at most 2,000 characters
    editable: bool = True  # False: an installed package, exec'd code or a prompt; never patched
    method_line: int | None = None  # where the method name of a chained call stands

    @property
    def shown_line(self) -> int:
        """The line to show: in a chain over several lines each call has its own."""
        return self.method_line or self.line


@dataclass(frozen=True, kw_only=True, slots=True)
class Change:
    """One change of a pipeline: its kind and its parameters (JSON values)."""

    kind: str
    params: dict[str, str | int | float | bool | None] = field(default_factory=dict)


# --- run and host ------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Versions:
    """Versions of what took part; None where it was not loaded."""

    pipeprof: str
    python: str
    tensorflow: str | None = None
    keras: str | None = None
    keras_backend: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Host:
    """The machine as the process may use it."""

    cores: int  # schedulable, after affinity
    memory_bytes: int | None = None  # physical
    memory_limit_bytes: int | None = None  # the cgroup's limit, None where there is none
    cpu_quota: float | None = None  # cores the cgroup grants, None where there is no quota
    gpus: tuple[str, ...] = ()  # names by NVML
    cpu_model: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceFile:
    """A user's file as it was when it was captured; a file that changed since is never patched."""

    path: str
    sha256: str


@dataclass(frozen=True, kw_only=True, slots=True)
class RunInfo:
    """One run of the user's program."""

    id: str
    command: tuple[str, ...]
    started_at: str  # ISO 8601 with offset
    versions: Versions
    host: Host
    working_directory: str = ""
    wall_s: float = 0.0
    exit_status: int | None = None  # as a shell's parent sees it: -N for signal N; None while it runs
    ended: str = "running"  # running, returned, raised, exited, killed; traced: somebody else's run, seen through a trace
    capture_overhead_share: float | None = None  # CPU of the capture's own thread and hooks, of the run's wall time
    problems: tuple[str, ...] = ()
    sources: tuple[SourceFile, ...] = ()
    applied_from: str = ""  # the run whose confirmed changes were applied to this one
    applied: tuple[str, ...] = ()  # what was applied, a phrase each
    printed_into: tuple[str, ...] = ()  # files that its standard output and standard error went to: its caller's, not its own
    wrote_outside: tuple[str, ...] = ()  # of its working directory, as far as it was seen; "x*": files whose names begin with x
    wrote_more: bool = False  # more than are kept in it
    bench_step_s: float | None = None  # a pipeline alone: the stand-in's own time for a step, 0 for none; None: a program


# --- pipelines ---------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class PythonCalls:
    """Python functions that TensorFlow called inside a stage (py_function, numpy_function, from_generator)."""

    calls: int
    wall_s: float  # inside the Python function, as the calling thread sees it
    cpu_s: float  # CPU of the calling thread inside it


@dataclass(frozen=True, kw_only=True, slots=True)
class FirstDraw:
    """Where the body of a function first draws at random, or reads what may change between its calls."""

    file: str
    defined: int  # line of its def
    line: int
    behind: tuple[str, ...] = ()  # types of op that hang on its arguments alone, of which one at least stands behind that line


@dataclass(frozen=True, kw_only=True, slots=True)
class StageFunction:
    """What a stage's function is made of, read from its traced graph (nested functions included)."""

    name: str
    op_types: tuple[str, ...]  # distinct, sorted
    op_count: int
    stateful_ops: tuple[str, ...] = ()  # those that keep TensorFlow from running calls in parallel
    random_ops: tuple[str, ...] = ()
    single_draws: tuple[str, ...] = ()  # of these, those that draw one value, or one place of a crop, for a whole call
    python_ops: tuple[str, ...] = ()
    assigns_variables: bool = False
    has_op_seed: bool = False
    python_tokens: tuple[str, ...] = ()
    inner_datasets: tuple[str, ...] = ()  # dataset ops built inside (interleave, flat_map)
    parse_call: CallSite | None = None  # of the one parse_single_example in it
    inner_map: CallSite | None = None  # of the one map built inside that is not parallel by its own argument
    op_lines: dict[str, str] = field(default_factory=dict)  # type of op -> "file:line" where the user's code makes the first
    not_elementwise: str | None = None  # why a call on a batch is not proven to give the results one by one; "": it is
    passes: tuple[int, ...] = ()  # for each flat output the flat argument that it hands on unchanged, -1 where it makes it
    reads: tuple[int, ...] | None = None  # flat arguments that its outputs depend on; None where that was not followed
    widened_from: str = ""  # integer type ("uint8") of which its largest cast output is a wider copy, scaled at most
    narrow_bytes: int | None = None  # bytes of an element had it not been cast, where all shapes are known
    after_decode: tuple[str, ...] = ()  # ops that take a picture that it decodes and leave pixels out
    before_draws: tuple[str, ...] = ()  # ops that hang on the arguments alone, every one of their type, where others draw
    drawn_from_bytes: int | None = None  # bytes of what those hand to the rest, where all shapes are known
    first_draw: FirstDraw | None = None  # None where it draws nothing, or is not written with def in a file of the user's
    gives_tuple: bool | None = None  # its result becomes several arguments of the next function; None where not recorded


@dataclass(frozen=True, kw_only=True, slots=True)
class PrefixBlock:
    """One stretch of a prefix at full speed, the cost of handing over taken off."""

    round: int  # blocks of one round were measured next to each other
    elements: int
    wall_s: float
    cpu_s: float  # of the whole process


@dataclass(frozen=True, kw_only=True, slots=True)
class IsolatedPrefix:
    """The written chain up to and including one stage, replayed alone at full speed."""

    blocks: tuple[PrefixBlock, ...] = ()
    note: str = ""  # why there are no blocks, or no more of them


@dataclass(frozen=True, kw_only=True, slots=True)
class ScalingPoint:
    """The chain up to and including one stage at full speed, so many of the stage's calls running at once."""

    calls: int
    prefix: IsolatedPrefix


@dataclass(frozen=True, kw_only=True, slots=True)
class WrittenStage:
    """One transformation as the user wrote it."""

    id: str  # "s0" is the source side's first; stable within a pipeline
    op: str  # the method name: "map", "batch", "from_tensor_slices"
    class_name: str  # TensorFlow's Python class: "_MapDataset"
    inputs: tuple[str, ...] = ()
    call_site: CallSite | None = None
    library_site: CallSite | None = None  # the frame of the library that made it, where the user did not directly
    arguments: dict[str, str | int | float | bool | None] = field(default_factory=dict)
    function: StageFunction | None = None
    python: PythonCalls | None = None
    element_bytes: int | None = None  # static, from a fully defined element_spec without strings
    element_tensors: int | None = None
    constant_bytes: int = 0  # in-memory arrays held by the stage
    cardinality: int = -2  # TensorFlow's convention: -1 infinite, -2 unknown
    objects: int = 1  # distinct dataset objects that stood here in the run: more than one where it is built anew
    objects_differ: bool = False  # and were not made with the same arguments
    changed_state: str = ""  # by the program's name, what it reads beside its input that was not the same for all iterators
    graph_node: str | None = None  # TensorFlow's name of the stage's node ("MapDataset:3"), for rewriting
    isolated: IsolatedPrefix | None = None  # None: no isolated measurement was asked for


@dataclass(frozen=True, kw_only=True, slots=True)
class OpCost:
    """One type of op inside a stage's function, as trace windows showed it, for one element of the node."""

    op: str  # "DecodeJpeg"
    calls: float
    busy_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class ExecutedStage:
    """One node that TensorFlow ran, summed over its incarnations (a repeat or a new iterator makes new ones)."""

    id: str  # position below the root: "0", "0.0", "0.0.1"; interleave's children share one position
    node: str  # "ParallelMapV2", "MapAndBatch", "Prefetch"
    inputs: tuple[str, ...] = ()
    elements: int = 0  # as captured; nodes that come and go between two samples are missed
    busy_s: float = 0.0  # wall time inside the stage without its inputs, summed over threads, as captured
    bytes_produced: int = 0
    bytes_consumed: int = 0
    elements_per_parent: float | None = None  # elements of this node for one element of its consumer
    known_ratio: float | None = None  # input elements for one element of this node, where TensorFlow states it as fixed
    parallelism: float | None = None  # last value; None for a sequential stage
    parallelism_max: float | None = None
    parallelism_tuned: bool = False  # chosen by AUTOTUNE
    buffer_size: float | None = None
    buffered_elements: float | None = None  # mean over the samples
    buffered_elements_max: float | None = None
    buffered_bytes_max: float | None = None
    empty_share: float | None = None  # share of the samples with an empty buffer
    incarnations: int = 1
    snapshots: int = 0
    ops: tuple[OpCost, ...] = ()  # the dearest first; empty where no trace window saw the function run
    traced_elements: int = 0  # that trace windows saw beside the counters, and the busy time they showed for these
    traced_busy_s: float = 0.0


@dataclass(frozen=True, kw_only=True, slots=True)
class LevelBin:
    """Consecutive snapshots of one pipeline, merged: what its buffers held, and the parallelism that AUTOTUNE had chosen."""

    start_s: float
    end_s: float
    buffered: dict[str, float] = field(default_factory=dict)  # executed stage -> mean elements
    parallelism: dict[str, float] = field(default_factory=dict)  # executed stage that AUTOTUNE tunes -> last value
    samples: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class Autotune:
    """AUTOTUNE's own budgets."""

    enabled: bool
    cpu_budget: float | None = None
    ram_budget_bytes: float | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Histogram:
    """Durations in log buckets: bucket ``k`` holds values in [base**k, base**(k+1)) seconds."""

    base: float = 1.1
    counts: dict[str, int] = field(default_factory=dict)  # bucket number as text (JSON keys) -> count


@dataclass(frozen=True, kw_only=True, slots=True)
class LoopBin:
    """Consecutive steps of one loop, merged."""

    start_s: float
    end_s: float
    steps: int
    wait_s: float
    gap_s: float  # the consumer's own time between two calls of next
    wait_max_s: float
    step_max_s: float
    step_min_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class EpochRecord:
    """One iterator's life."""

    start_s: float
    elements: int
    creation_s: float  # building the iterator
    teardown_s: float = 0.0  # taking down the iterator before it
    first_wait_s: float  # waiting for its first element
    wait_s: float  # all waiting, the first included
    wall_s: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Loop:
    """How one pipeline was consumed: a step is one element handed to the consumer and the work done with it.

    ``wall_s`` is the sum of creation, waits and gaps; time spent on another pipeline in between (validation) is not in it.
    """

    method: str  # "next": timed around next(); "gaps": TensorFlow's consumer gaps; "keras": step calls and gaps
    elements: int = 0
    start_s: float = 0.0
    end_s: float = 0.0
    wall_s: float = 0.0
    wait_s: float = 0.0
    creation_s: float = 0.0
    first_batch_s: float | None = None  # creation and wait for the very first element of the run
    first_step_s: float | None = None  # the whole first step, tracing and compiling included; it is in no bin
    steps_in_bins: int = 0
    steps_histogram: Histogram = field(default_factory=Histogram)
    wait_histogram: Histogram = field(default_factory=Histogram)
    gap_histogram: Histogram = field(default_factory=Histogram)
    epochs: tuple[EpochRecord, ...] = ()  # at most 64; later ones are merged into the last
    epoch_count: int = 0  # iterators that gave something
    consumer_epochs: int = 0  # epochs by Keras' own count: with steps_per_epoch one iterator serves several
    bins: tuple[LoopBin, ...] = ()
    seen_share: float = 1.0  # of the elements, those whose wait was measured
    cpu_s: float | None = None  # CPU of the whole process during the steps that are in bins
    run_delay_s: float | None = None  # of all threads of the process in that time: runnable, but without a core
    input_cpu_s: float | None = None  # of that CPU, what TensorFlow's threads of this pipeline used, their spinning included
    boundary_wait_s: float = 0.0  # creation of later iterators and the wait for their first element
    threads: int = 1  # threads that consumed it
    in_background: bool = False  # never the main thread: what lies between two elements may be a queue, not training


@dataclass(frozen=True, kw_only=True, slots=True)
class FeatureWaste:
    """One feature of an Example that takes more bytes than what it holds."""

    feature: str
    kind: str  # "int64-list", "float-list": numbers of one byte each; "base64"
    record_bytes: int  # that it takes in the record
    raw_bytes: int  # that the same bytes take in a BytesList


@dataclass(frozen=True, kw_only=True, slots=True)
class SourceFiles:
    """The files that one stage reads, as a look at some of them showed. On remote storage nothing is looked at."""

    stage_id: str
    format: str  # "tfrecord", "text", "csv", "fixed"; whole files by what decodes them: "image", "audio", "whole"
    files: int  # names that the stage is given
    looked_at: int = 0  # of these, those whose size is known: spread evenly over all
    bytes: int | None = None  # of all files, by the mean of those that were looked at
    smallest_bytes: int | None = None
    largest_bytes: int | None = None
    compression: str = ""  # "GZIP", "ZLIB"
    filesystem: str = "local"  # else its type or scheme: "gs", "s3", "hdfs", "nfs4"
    record_bytes: float | None = None  # mean of the first records of one file, uncompressed
    payload_compresses: float | None = None  # bytes for one byte of zlib, in the first 256 kB of one file
    inflate_bytes_per_s: float | None = None  # of uncompressed data, by one core, measured on the start of one compressed file
    waste: tuple[FeatureWaste, ...] = ()  # in the first record, where that is an Example

    @property
    def mean_bytes(self) -> float | None:
        """Mean size of a file."""
        return self.bytes / self.files if self.bytes is not None and self.files else None


@dataclass(frozen=True, kw_only=True, slots=True)
class PipelineRecord:
    """One pipeline: as written, as executed, as consumed."""

    id: str
    role: Role
    output: str  # id of the last written stage
    written: tuple[WrittenStage, ...]
    executed: tuple[ExecutedStage, ...]
    loop: Loop
    call_site: CallSite | None = None  # of the last written stage
    consumer: str = "for loop"
    counters: str = "tf.data model"  # where per-stage numbers come from, or why there are none
    windows: str = ""  # trace windows that were taken beside the counters
    levels: tuple[LevelBin, ...] = ()  # over time, at most 120
    scaling_stage: str = ""  # whose calls at once were varied (bench)
    scaling: tuple[ScalingPoint, ...] = ()
    autotune: Autotune | None = None
    iterators: int = 0
    threadpool_size: int | None = None  # options.threading.private_threadpool_size, None where not set
    deterministic: bool | None = None
    global_seed_set: bool = False
    files: tuple[SourceFiles, ...] = ()  # of the stages that read files whose names are constants
    kept: bool = False  # its dataset is kept for trials
    kept_reason: str = ""


@dataclass(frozen=True, kw_only=True, slots=True)
class EmptyPipeline:
    """A pipeline that was iterated to its end and never gave an element."""

    op: str  # of its last written stage
    passes: int
    call_site: CallSite | None = None


# --- host and device samples -------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class HostBin:
    """Consecutive host samples, merged: means, except where the name says otherwise."""

    start_s: float
    end_s: float
    cpu_share: float  # of the process, of all schedulable cores
    system_cpu_share: float | None
    rss_max_bytes: int
    read_bytes: int  # from storage, not from the page cache
    samples: int = 1
    lock_checks: int = 0  # moments at which the sampler asked for the interpreter's lock
    lock_held: int = 0  # of these, those at which another thread had it for LOCK_SEEN_S more


@dataclass(frozen=True, kw_only=True, slots=True)
class HostSeries:
    """What the host did while the script ran."""

    bins: tuple[HostBin, ...] = ()
    process_cpu_s: float = 0.0
    per_core: tuple[float, ...] = ()  # mean busy share of each core, all processes
    steal_share: float | None = None
    rss_peak_bytes: int | None = None
    read_bytes: int | None = None
    page_cache_read_bytes: int | None = None  # read calls that storage did not serve
    throttled_s: float | None = None  # the cgroup's CPU quota at work
    involuntary_switches: int | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuBin:
    """Consecutive samples of one GPU, merged; None where the device does not support the value."""

    start_s: float
    end_s: float
    sm_share: float | None
    memory_bytes: int | None
    power_w: float | None
    pcie_bytes_per_s: float | None
    samples: int = 1


@dataclass(frozen=True, kw_only=True, slots=True)
class GpuSeries:
    """What one GPU did while the script ran."""

    index: int
    name: str
    bins: tuple[GpuBin, ...] = ()
    memory_total_bytes: int | None = None
    unsupported: tuple[str, ...] = ()


# --- trials ------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, kw_only=True, slots=True)
class Control:
    """The same loop fed with one ready element, beside the loop as it is: the ceiling of any input fix, by replay."""

    pipeline_id: str
    pairs: int
    baseline_step_s: float
    ready_step_s: float
    baseline_wait_share: float
    ready_wait_share: float
    recoverable_low: float  # share of the step an ideal input would give back; interval
    recoverable_high: float
    ceiling: float
    ceiling_low: float
    ceiling_high: float
    pipeline_cpu_s_per_step: float | None = None  # CPU of the input pipeline alone
    reproduces_run: bool = True
    reason: str = ""  # why it does not reproduce the run, or could not be had
    noise_low: float = 1.0  # A/A: the loop against itself
    noise_high: float = 1.0


@dataclass(frozen=True, kw_only=True, slots=True)
class RerunFacts:
    """The script run again in processes of its own, without changes (baseline) and with them (candidate); means."""

    changes: tuple[str, ...]  # ids of the changes that were applied
    steps: int = 0  # of training that were measured in each process
    whole: bool = False  # the script ran to its end, and not only until so many steps
    baseline_memory_bytes: int | None = None  # peak of resident memory
    candidate_memory_bytes: int | None = None
    baseline_wait_share: float | None = None
    candidate_wait_share: float | None = None
    same_output: bool | None = None  # of standard output, every line of it; None: not compared
    output_note: str = ""  # the first line that differs
    steady_output: bool = False  # it was the same in two runs and more without the changes
    baseline_losses: tuple[float, ...] = ()  # of each process, the last loss that it printed; empty where one printed none
    candidate_losses: tuple[float, ...] = ()
    ceiling: bool = False  # the candidate is the script with one batch, always ready, in the place of its input


@dataclass(frozen=True, kw_only=True, slots=True)
class TrialRecord:
    """One change, tried on the user's own pipeline."""

    id: str
    pipeline_id: str
    stage_id: str
    change: Change
    state: TrialState
    method: str = "replay"
    reason: str = ""
    speedup: float | None = None
    low: float | None = None
    high: float | None = None
    pairs: int = 0
    predicted: float | None = None  # speed-up, as it was predicted before the change was tried, and its interval
    predicted_low: float | None = None
    predicted_high: float | None = None
    baseline_step_s: float | None = None
    candidate_step_s: float | None = None
    baseline_cpu_s: float | None = None  # CPU per element of the pipeline under trial
    candidate_cpu_s: float | None = None
    cpu_ratio: float | None = None  # baseline over candidate, and its interval
    cpu_low: float | None = None
    cpu_high: float | None = None
    read_bytes: int | None = None  # that the process read while it ran, from wherever
    storage_bytes: int | None = None  # of these from storage; the rest came from the page cache
    noise_low: float | None = None  # interval of the A/A ratio
    noise_high: float | None = None
    elements: ElementsState = ElementsState.UNCHECKED
    elements_compared: int = 0
    epochs_compared: int = 0
    elements_note: str = ""
    also_compared: tuple[str, ...] = ()  # beside the elements: element_spec, cardinality, freshness, draws
    fill_s: float | None = None  # a cache's first epoch, beyond the baseline's
    epoch_steps: int | None = None  # steps of one epoch, where the data set is finite
    memory_bytes: int | None = None  # growth of resident memory while it ran
    on_top_of: tuple[str, ...] = ()  # ids of trials whose changes were kept beneath this one
    impossible: bool = False  # the change cannot be made here, or nothing could be shown of it; more time changes nothing
    wall_s: float = 0.0
    rerun: RerunFacts | None = None  # of a re-run of the script: what a replay does not have


@dataclass(frozen=True, kw_only=True, slots=True)
class Profile:
    """Everything that was measured in one run."""

    schema: str = PROFILE_SCHEMA
    run: RunInfo
    pipelines: tuple[PipelineRecord, ...] = ()
    empty_pipelines: tuple[EmptyPipeline, ...] = ()
    host: HostSeries = field(default_factory=HostSeries)
    gpus: tuple[GpuSeries, ...] = ()
    controls: tuple[Control, ...] = ()
    trials: tuple[TrialRecord, ...] = ()
    trials_note: str = ""  # why nothing was tried, where nothing was
    looks: tuple[ElementLook, ...] = ()
    children_not_observed: int = 0
