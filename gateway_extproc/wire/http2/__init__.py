"""gRPC over HTTP/2 (RFC 9113) on one asyncio protocol; server side only.

``connection`` says what each kind of frame means; around it stand ``reader`` (bytes to
frames), ``states`` (what may follow what), ``headers``, ``messages`` (DATA to gRPC
messages), ``intake`` and ``sender`` (the windows of both ways), ``streams`` and
``stream`` (what a handler sees), ``patience`` (frames that carry no work) and ``limits``
(every bound, with its reason).  Nothing here knows ext_proc or any policy.
"""
