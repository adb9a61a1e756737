"""How much of a random map's time goes to what it does before it first draws: the part that is the same in every epoch."""

from __future__ import annotations

from pipeprof.model.analysis import StageView


def share_before_draws(view: StageView) -> float:
    """Return the share of a map's time that goes to ops which hang on its arguments alone: 0 for any other stage.

    Ops of one type are timed together: those count of which every one hangs on the arguments alone.
    """
    function = view.written.function if view.written is not None and view.stage.op == "map" else None
    if function is None or not function.random_ops or function.python_ops or function.assigns_variables:
        return 0.0
    return sum(item.share for item in view.stage.ops if item.op in function.before_draws)
