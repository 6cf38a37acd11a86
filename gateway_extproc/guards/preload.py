"""Compiles what all finders share, when it is imported.

For the fork server alone: it takes a second, which no request and no restart of a worker should
wait for, and workers that are forked afterwards share its memory.
"""

from __future__ import annotations

from gateway_extproc.guards.entities import ENTITIES, prepare
from gateway_extproc.guards.shell import find_dangerous_shell

for _entity in ENTITIES.values():
    prepare(_entity)
find_dangerous_shell("")
