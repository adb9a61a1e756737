"""How each kind of change is written into the user's source text: one file per kind.

An editor reads a parsed ``Document`` and the calls it concerns, and returns a ``Rewrite``: the pieces of text to replace
and the syntax tree that must come out. Editors touch no file and decide nothing about whether a change is worth making.
Importing an editor imports libcst, so this package imports none by itself.
"""
