"""gRPC over HTTP/2 (RFC 9113) on one asyncio protocol; server side only.

``frames`` are bytes and numbers, ``states`` is the table of what may follow what,
``headers`` reads header blocks, ``messages`` cuts DATA into gRPC messages, ``flow``
is the arithmetic of windows, ``patience`` bounds frames that carry no work,
``stream`` is what a handler sees, ``connection`` joins them.  Nothing here knows
ext_proc or any policy.
"""
