"""All rules, by code, and their pages of documentation as text.

The one idea: the list is written out, so that reading this file tells which rules there are. No rule is found by walking
directories or by being imported somewhere.
"""

from __future__ import annotations

import difflib
import inspect
import itertools
import textwrap
from collections.abc import Sequence
from dataclasses import fields
from typing import Any

from pipeprof import units
from pipeprof.errors import UserError
from pipeprof.rules.base import SECTIONS, Parameters, Rule, say_safety
from pipeprof.rules.pp001_too_short_to_judge import TooShortToJudge
from pipeprof.rules.pp002_noisy_host import NoisyHost
from pipeprof.rules.pp003_throttled_container import ThrottledContainer
from pipeprof.rules.pp004_not_measured import NotMeasured
from pipeprof.rules.pp005_sources_disagree import SourcesDisagree
from pipeprof.rules.pp101_input_bound import InputIsTheLimit
from pipeprof.rules.pp102_compute_bound import ComputeIsTheLimit
from pipeprof.rules.pp103_host_bound_loop import HostBoundLoop
from pipeprof.rules.pp104_cpu_contention import CpuContention
from pipeprof.rules.pp105_slow_start_of_epochs import SlowStartOfEpochs
from pipeprof.rules.pp106_bursty_input import BurstyInput
from pipeprof.rules.pp107_async_dispatch import AsyncDispatch
from pipeprof.rules.pp108_copy_bound import CopyBound
from pipeprof.rules.pp201_sequential_map import SequentialMap
from pipeprof.rules.pp202_blocking_map_capped import BlockingMapCapped
from pipeprof.rules.pp203_low_parallelism import LowParallelism
from pipeprof.rules.pp204_over_parallelism import OverParallelism
from pipeprof.rules.pp205_one_file_at_a_time import OneFileAtATime
from pipeprof.rules.pp206_ordered_stragglers import OrderedStragglers
from pipeprof.rules.pp207_autotune_disabled import AutotuneDisabled
from pipeprof.rules.pp208_autotune_below_best import AutotuneBelowBest
from pipeprof.rules.pp209_cheap_map_parallelised import CheapMapParallelised
from pipeprof.rules.pp210_fine_interleave import FineInterleave
from pipeprof.rules.pp301_no_overlap import NoOverlapAtTheEnd
from pipeprof.rules.pp302_prefetch_not_last import PrefetchNotLast
from pipeprof.rules.pp303_oversized_prefetch import OversizedPrefetch
from pipeprof.rules.pp401_cacheable_prefix import CacheablePrefix
from pipeprof.rules.pp402_frozen_randomness import FrozenRandomness
from pipeprof.rules.pp403_cache_never_completes import CacheNeverCompletes
from pipeprof.rules.pp404_cache_outgrows_memory import CacheOutgrowsMemory
from pipeprof.rules.pp405_shuffle_memory import ShuffleMemory
from pipeprof.rules.pp406_memory_growth import MemoryGrowth
from pipeprof.rules.pp407_cacheable_inside import CacheableInside
from pipeprof.rules.pp501_python_under_gil import PythonUnderGil
from pipeprof.rules.pp502_python_latency import PythonLatency
from pipeprof.rules.pp503_scalar_generator import ScalarGenerator
from pipeprof.rules.pp601_map_before_batch import MapBeforeBatch
from pipeprof.rules.pp602_parse_single import ParseSingle
from pipeprof.rules.pp603_filter_late import FilterLate
from pipeprof.rules.pp604_skip_late import SkipLate
from pipeprof.rules.pp605_shuffle_late import ShuffleLate
from pipeprof.rules.pp606_cast_early import CastEarly
from pipeprof.rules.pp607_padding_waste import PaddingWaste
from pipeprof.rules.pp608_resize_decode_waste import ResizeDecodeWaste
from pipeprof.rules.pp609_repeat_per_epoch import RepeatPerEpoch
from pipeprof.rules.pp610_shuffle_quality import ShuffleQuality
from pipeprof.rules.pp611_batch_randomness import BatchRandomness
from pipeprof.rules.pp612_seeds_lost import SeedsLost
from pipeprof.rules.pp701_many_small_files import ManySmallFiles
from pipeprof.rules.pp702_single_large_file import SingleLargeFile
from pipeprof.rules.pp703_compressed_cpu_bound import CompressedCpuBound
from pipeprof.rules.pp704_uncompressed_io_bound import UncompressedIoBound
from pipeprof.rules.pp705_text_parsing import TextParsing
from pipeprof.rules.pp706_bad_shard_size import BadShardSize
from pipeprof.rules.pp707_encoded_waste import EncodedWaste
from pipeprof.rules.pp708_remote_latency import RemoteLatency
from pipeprof.rules.pp709_storage_bound import StorageBound
from pipeprof.rules.pp801_deterministic_offline import DeterministicOffline
from pipeprof.rules.pp802_move_to_model import MoveToModel
from pipeprof.rules.pp803_full_pass_statistics import FullPassStatistics
from pipeprof.rules.pp804_host_saturated import HostSaturated
from pipeprof.rules.pp805_underused_gpu import UnderusedGpu
from pipeprof.rules.pp806_gpu_memory_growth import GpuMemoryGrowth
from pipeprof.rules.pp807_replica_imbalance import ReplicaImbalance

AnyRule = type[Rule[Any]]  # Any: each rule has parameters of its own

_RULES: tuple[AnyRule, ...] = (
    TooShortToJudge,
    NoisyHost,
    ThrottledContainer,
    NotMeasured,
    SourcesDisagree,
    InputIsTheLimit,
    ComputeIsTheLimit,
    HostBoundLoop,
    CpuContention,
    SlowStartOfEpochs,
    BurstyInput,
    AsyncDispatch,
    CopyBound,
    SequentialMap,
    BlockingMapCapped,
    LowParallelism,
    OverParallelism,
    OneFileAtATime,
    OrderedStragglers,
    AutotuneDisabled,
    AutotuneBelowBest,
    CheapMapParallelised,
    FineInterleave,
    NoOverlapAtTheEnd,
    PrefetchNotLast,
    OversizedPrefetch,
    CacheablePrefix,
    FrozenRandomness,
    CacheNeverCompletes,
    CacheOutgrowsMemory,
    ShuffleMemory,
    MemoryGrowth,
    CacheableInside,
    PythonUnderGil,
    PythonLatency,
    ScalarGenerator,
    MapBeforeBatch,
    ParseSingle,
    FilterLate,
    SkipLate,
    ShuffleLate,
    CastEarly,
    PaddingWaste,
    ResizeDecodeWaste,
    RepeatPerEpoch,
    ShuffleQuality,
    BatchRandomness,
    SeedsLost,
    ManySmallFiles,
    SingleLargeFile,
    CompressedCpuBound,
    UncompressedIoBound,
    TextParsing,
    BadShardSize,
    EncodedWaste,
    RemoteLatency,
    StorageBound,
    DeterministicOffline,
    MoveToModel,
    FullPassStatistics,
    HostSaturated,
    UnderusedGpu,
    GpuMemoryGrowth,
    ReplicaImbalance,
)
_SIGNIFICANT = 4
_WIDTH = 80


def all_rules() -> tuple[AnyRule, ...]:
    """Return all rules, ordered by code."""
    return _RULES


def find_rule(code: str, rules: Sequence[AnyRule] = _RULES) -> AnyRule:
    """Return the rule with this code or name.

    Raises:
        UserError: there is none; the hint names the nearest.
    """
    wanted = code.strip()
    for rule in rules:
        if wanted.upper() == rule.code or wanted.lower() == rule.name:
            return rule
    raise UserError(f"no such rule: {code}", suggest_code(code, rules))


def suggest_code(code: str, rules: Sequence[AnyRule] = _RULES) -> str:
    """Return a hint that names the rule nearest to a misspelt code or name."""
    names = {key.lower(): rule for rule in rules for key in (rule.code, rule.name)}
    text = code.strip().lower()
    close = difflib.get_close_matches(text, names, n=len(names))
    if not close:
        return "list them with: pipeprof rules"
    by_theme = min(close, key=lambda name: (-_shared_start(name, text), name))  # PP210 is nearest to PP201
    rule = names[by_theme if text.startswith("pp") else close[0]]
    return f"did you mean {rule.code} {rule.name}?"


def _shared_start(first: str, second: str) -> int:
    return sum(1 for _ in itertools.takewhile(lambda pair: pair[0] == pair[1], zip(first, second, strict=False)))


def explain_text(code: str, rules: Sequence[AnyRule] = _RULES) -> str:
    """Return a rule's page: its docstring with the table of its parameters, 80 columns of plain text.

    Raises:
        UserError: there is no such rule.
    """
    rule = find_rule(code, rules)
    head = f"{rule.code} {rule.name} ({rule.status}, since {rule.since})"
    needs = textwrap.fill(f"Needs: {', '.join(rule.needs) if rule.needs else 'nothing beyond a run'}.", _WIDTH)
    safety = textwrap.fill(f"Safety: {say_safety(rule)}.", _WIDTH)
    page = inspect.cleandoc(rule.__doc__ or "")
    before, marker, references = page.rpartition(f"\n{SECTIONS[-1]}:\n")
    body = f"{before.rstrip()}\n{_describe_parameters(rule.parameters)}{marker}{references}"
    return f"{head}\n{'=' * len(head)}\n\n{body}\n\n{needs}\n{safety}\n"


def _describe_parameters(parameters: type[Parameters]) -> str:
    """Return the section on the parameters, generated from their fields; empty where there are none."""
    rows = []
    for item in fields(parameters):
        meta = item.metadata
        span = f"{_number(meta['low'])} to {_number(meta['high'])}"
        rows.append(f"    {item.name} = {_number(item.default)} {meta['unit']} ({span})")
        rows.append(textwrap.fill(meta["doc"], _WIDTH, initial_indent=" " * 8, subsequent_indent=" " * 8))
    return "\nParameters:\n" + "\n".join(rows) + "\n" if rows else ""


def _number(value: Any) -> str:  # Any: a dataclass default is typed so
    number = float(value)
    return f"{number:.0f}" if number.is_integer() else units.significant(number, _SIGNIFICANT).rstrip("0").rstrip(".")
