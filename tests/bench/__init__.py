"""Measuring the gateway: a no-op server to compare with, a load client, CPU time.

Run from ``tests/`` (or with it on PYTHONPATH): ``python -m bench.load --help``.
"""
