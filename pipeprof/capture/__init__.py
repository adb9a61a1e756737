"""Capture: observe a running program and write down what was measured.

Nothing in here concludes anything, and nothing in here may change what the program computes, prints or returns: an
instrument that fails becomes a line in ``run.problems``.
"""
