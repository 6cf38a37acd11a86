"""The composition root's part for the catalogue: its file is read here, and nowhere below."""

from __future__ import annotations

from pathlib import Path

from gateway_extproc.config.catalogue import CatalogueUnreadable, ReadCatalogue, parse_catalogue
from gateway_extproc.config.mistakes import ConfigError, Mistake
from gateway_extproc.config.model import Config


def with_catalogue(config: Config) -> Config:
    """The configuration with its catalogue's file read; raises ``ConfigError``."""
    section = config.catalogue
    if not section.file:
        return config
    try:
        read = parse_catalogue(Path(section.file).read_bytes())
    except OSError as error:
        raise _bad(section.file, f"a file that can be read ({error.strerror})") from None
    except CatalogueUnreadable as error:
        raise _bad(section.file, f"a catalogue ({error})") from None
    with_file = ReadCatalogue(
        file=section.file, version=section.version, models=section.models, read=read
    )
    return config.model_copy(update={"catalogue": with_file})


def _bad(file: str, expected: str) -> ConfigError:
    return ConfigError([Mistake("catalogue.file", repr(file), expected)])
