"""Shared state: limits, cached answers, secrets on disk.

Behind protocols of ``core.ports``.  The memory store is the embedded default and
needs no server; foreign errors never leave this room.
"""
