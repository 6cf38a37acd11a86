"""How commands open the folder of records."""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from gateway_extproc.cli.common import CONFIG_PLACES
from gateway_extproc.cli.failure import CommandFailure
from gateway_extproc.evidence.query import Question
from gateway_extproc.evidence.reading import Kind, LogChanged

if TYPE_CHECKING:
    from gateway_extproc.config.model import Config

BAD_CONFIGURATION = 2


def read_config(named: Path | None) -> Config:
    """The configuration that a command works with; whoever asks for records only reads its names.

    Raises ``CommandFailure``.
    """
    # Half a second that --dir saves.
    from gateway_extproc.config.load import load
    from gateway_extproc.config.mistakes import ConfigError

    path = named or next((place for place in CONFIG_PLACES if place.exists()), None)
    if path is None:
        places = " or ".join(map(str, CONFIG_PLACES))
        raise CommandFailure(f"no --config, no --dir, and no {places} here")
    try:
        return load(path.read_text())
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a UTF-8 text"
        raise CommandFailure(f"{path}: {reason}", BAD_CONFIGURATION) from None
    except ConfigError as error:
        count = len(error.mistakes)
        raise CommandFailure(
            f"{path}: {count} mistakes; `gateway-extproc check {path}` shows them",
            BAD_CONFIGURATION,
        ) from None


def folder_of(options: argparse.Namespace) -> Path:
    """The folder of the records; raises ``CommandFailure`` where there is none."""
    folder: Path = options.dir or Path(read_config(options.config).evidence.dir)
    if not folder.is_dir():
        raise CommandFailure(f"{folder}: no folder of records")
    return folder


@contextmanager
def question(options: argparse.Namespace, kind: Kind) -> Iterator[Question]:
    """One look at the records; what goes wrong with them is told in one line."""
    try:
        with Question(folder_of(options), kind, keep=not options.no_cache) as asked:
            yield asked
    except LogChanged as error:
        raise CommandFailure(str(error)) from None
    except BrokenPipeError:
        raise  # the reader's, not the records'
    except OSError as error:
        raise CommandFailure(f"{error.filename or 'records'}: {error.strerror}") from None
