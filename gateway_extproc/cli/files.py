"""Configuration files as commands read them."""

from __future__ import annotations

import sys
from pathlib import Path

from gateway_extproc.app import read_config
from gateway_extproc.cli.common import CONFIG_PLACES
from gateway_extproc.cli.failure import CommandFailure
from gateway_extproc.config.load import load_tenants
from gateway_extproc.config.mistakes import ConfigError
from gateway_extproc.config.model import Config, Tenant

BAD_CONFIGURATION = 2
"""Exit code for a configuration with mistakes."""


def config_file(named: Path | None) -> Path:
    """The configuration that a command works with, where none is named: the one that is here."""
    if named is not None:
        return named
    for place in CONFIG_PLACES:
        if place.exists():
            return place
    raise CommandFailure(f"no --config, and no {' or '.join(map(str, CONFIG_PLACES))} here")


def read_file(path: Path) -> tuple[Config, str]:
    """The configuration in a file, and its text.

    Every mistake goes to standard error; raises ``CommandFailure`` with code 2.
    """
    try:
        text = path.read_text()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a UTF-8 text"
        raise CommandFailure(f"{path}: {reason}", BAD_CONFIGURATION) from None
    try:
        return read_config(text), text
    except ConfigError as error:
        raise _told(path, error) from None


def read_tenants(config: Config) -> tuple[Tenant, ...]:
    """The tenants in the file that a configuration names; as ``read_file`` when it is bad."""
    if not config.identity.tenants_file:
        return ()
    path = Path(config.identity.tenants_file)
    try:
        return load_tenants(path.read_bytes(), config)
    except OSError as error:
        raise CommandFailure(f"{path}: {error.strerror}", BAD_CONFIGURATION) from None
    except ConfigError as error:
        raise _told(path, error) from None


def _told(path: Path, error: ConfigError) -> CommandFailure:
    for mistake in error.mistakes:
        print(f"{path}: {mistake}", file=sys.stderr)
    count = len(error.mistakes)
    noun = "mistake" if count == 1 else "mistakes"
    return CommandFailure(f"{path}: {count} {noun}", BAD_CONFIGURATION)
