"""Advise: recommend changes, rewrite and replay pipelines, try the changes, and write them as patches of the source.

Only ``safe`` and ``uses-memory`` changes are ever kept by a search; the user's own objects are never changed.
"""
