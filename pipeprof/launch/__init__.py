"""Runs the user's script as python would, in a process of its own, and watches over that process.

Two halves: the supervisor's (``supervisor``, ``signals``, ``watch``, ``memory``, ``interpreter``) and the child's
(``importlib_bootstrap``, ``script``, ``ending``, ``trial_phase``, ``streams``). It knows nothing of what is
captured: it calls hooks.
"""
