"""What every store may raise."""

from __future__ import annotations


class StoreUnavailable(Exception):
    """A store did not answer in time, or could not be read; nothing was changed."""
