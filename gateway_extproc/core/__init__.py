"""The vocabulary of the gateway: phases, verdicts, the exchange, identity, money.

Everything else imports this room; this room imports nothing of the project,
does no I/O and reads no clock.
"""
