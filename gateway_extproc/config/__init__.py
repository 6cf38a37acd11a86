"""The configuration: one model, loaded with all mistakes at once, compiled once.

``load`` turns text into a ``Config`` (strict, frozen), ``compile`` turns that into
the ``Snapshot`` that stages read.  A stream keeps the snapshot it began with.
This room reads no clock and opens no file; callers hand it text.
"""
