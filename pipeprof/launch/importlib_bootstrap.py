"""First file of the script's process: loads the package it belongs to and runs the user's script from this very frame.

The one frame of ours below the user's code is this module's. The name of this file is what makes the warnings machinery
skip that frame, as it skips the import system's (``is_internal_filename`` in CPython's ``Python/_warnings.c``): a warning
whose ``stacklevel`` points beyond the script says ``sys:1`` as it does under python. It must import nothing before it has
noted what python itself had imported, and must not be imported.
"""

_NAMESPACE = dict(globals())  # the keys, and their order, that python gives to __main__

import sys  # noqa: E402 - the namespace has to be noted first

TYPE_CHECKING = False  # as typing has it, which is not to be imported here
if TYPE_CHECKING:
    from pipeprof.launch.ending import Plan

_NATIVE_MODULES = frozenset(sys.modules)
if not sys.flags.safe_path:
    del sys.path[0]  # the directory of this file, which python put there


def _load_package() -> "Plan":
    """Load pipeprof from beside this file, whatever else ``sys.path`` offers, and return the named entry's plan."""
    import importlib.util
    from pathlib import Path

    home = Path(__file__).parent.parent
    spec = importlib.util.spec_from_file_location("pipeprof", home / "__init__.py", submodule_search_locations=[str(home)])
    assert spec is not None
    assert spec.loader is not None
    module = sys.modules["pipeprof"] = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    from pipeprof.launch.handover import receive

    return receive(_NAMESPACE, _NATIVE_MODULES)


if __name__ == "__main__":
    _plan = _load_package()
    _error = None
    try:
        _plan.body()  # a C function, or runpy's own: no further frame of ours
    except BaseException as _caught:  # noqa: BLE001 - whatever the script raises is handled as python does
        _error = _caught
    _plan.finish(_error)
