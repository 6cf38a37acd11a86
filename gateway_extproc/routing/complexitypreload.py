"""Reads the weights of the complexity scorer when it is imported.

For the fork server alone: reading takes some 30 ms, which no first request and no restart of a
worker should wait for.
"""

from __future__ import annotations

from gateway_extproc.routing.complexity import shipped

shipped()
