"""Loads the model of languages, when it is imported.

For the fork server alone, and only where a rule asks for languages.
"""

from __future__ import annotations

from gateway_extproc.guards.languages import identifier

identifier()
