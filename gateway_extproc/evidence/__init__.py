"""What remains of a request: decision log, cost ledger, metrics, spans.

Only this room knows Prometheus and OpenTelemetry.  It reads finished exchanges and
changes nothing; whatever goes wrong here is counted and never reaches a client.
"""
