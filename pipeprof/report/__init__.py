"""The reports: every renderer is a view of one Diagnosis, and none of them calculates.

``view`` finds the words and rows that all renderers share; ``terminal``, ``html_page`` and ``machine`` only lay them out.
"""
