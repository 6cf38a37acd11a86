"""The command ``gateway-extproc``."""
