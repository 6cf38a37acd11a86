"""Finds what must not pass in texts, whole or streamed, and masks it.

Pure: no I/O, no clock.  Imports core, config and Hyperscan only.  The stage
``guard`` decides what a client reads; this room only says what was found.
"""

from gateway_extproc.guards.errors import GuardCompileError
from gateway_extproc.guards.guard import RuleGuard

__all__ = ["GuardCompileError", "RuleGuard"]
