"""Reads the vocabularies that this machine has, when it is imported.

For the fork server alone: reading one takes most of a second, which no request may wait for, and
workers that are forked afterwards share its memory.
"""

from __future__ import annotations

from gateway_extproc.limits.estimate import exact_encoding

VOCABULARIES = tuple(exact_encoding(family) for family in ("o200k", "cl100k"))
