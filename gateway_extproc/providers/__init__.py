"""The wire shapes of clients and providers, and the translations between them.

This room is pure: bytes and documents in, values and bytes out; no I/O, no
clock.  ``translate`` is its door; ``openai`` and ``anthropic`` hold one dialect
each; ``core.chat`` is the hub between them.
"""
