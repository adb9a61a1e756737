"""Options of a pipeline other than the thread pool: the same places, other names and values."""

from __future__ import annotations

import pytest

TF = "import tensorflow as tf\n"
OPTIONS = {
    "nondeterministic": ({}, "deterministic", "False"),
    "enable_autotune": ({}, "autotune.enabled", "True"),
    "limit_memory": ({"ram_budget": 2_000_000_000}, "autotune.ram_budget", "2000000000"),
}


@pytest.mark.parametrize("kind", OPTIONS)
def test_options_are_made_and_given(workplace, kind):
    params, path, value = OPTIONS[kind]
    after = f"ds = ds.batch(8)\noptions = tf.data.Options()\noptions.{path} = {value}\nds = ds.with_options(options)\n"

    workplace.check(f"{TF}ds = ds.batch(8)§\n", TF + after, kind, **params)


@pytest.mark.parametrize("kind", OPTIONS)
def test_options_of_the_pipeline_get_one_line_more(workplace, kind):
    params, path, value = OPTIONS[kind]
    made = "opts = tf.data.Options()\n{}opts.threading.max_intra_op_parallelism = 1\n"
    text = f"{TF}{made}ds = ds.batch(8)ENDE.with_options(opts)\n"

    workplace.check(
        text.format("").replace("ENDE", "§"),
        text.format(f"opts.{path} = {value}\n").replace("ENDE", ""),
        kind,
        **params,
    )


@pytest.mark.parametrize(("kind", "old"), [("nondeterministic", "True"), ("enable_autotune", "False"), ("limit_memory", "10")])
def test_another_value_is_replaced(workplace, kind, old):
    params, path, value = OPTIONS[kind]
    text = f"{TF}opts = tf.data.Options()\nopts.{path} = {{}}\nds = ds.batch(8){{}}\nds = ds.with_options(opts)\n"

    workplace.check(text.format(old, "§"), text.format(value, ""), kind, **params)


@pytest.mark.parametrize("value", [0, -1, True, None, "4"])
def test_a_budget_that_is_no_number_of_bytes_is_refused(workplace, value):
    patch = workplace.plan(f"{TF}ds = ds.batch(8)§\n", "limit_memory", ram_budget=value)

    assert patch.diff is None
    assert "is no value for ram_budget" in patch.reason
