"""Secrets from files, as a vault agent or a Kubernetes secret mounts them."""

from __future__ import annotations

import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from gateway_extproc.core.secret import Secret
from gateway_extproc.stores.following import stamp_of

log = logging.getLogger(__name__)

CHECK_EVERY_NS = 1_000_000_000
"""How often a file is looked at; mounts swap symlinks, which inotify may miss."""


class SecretUnavailable(LookupError):
    """No secret could be read from its file, now or before."""


def read_secret(path: Path) -> Secret:
    """The secret in a file, without surrounding space; raises ``SecretUnavailable``.

    It is one line, or a credential of several fields (JSON, or ini as AWS writes it), which
    becomes one line.
    """
    try:
        text = path.read_text().strip()
        if text.startswith(("{", "[")):
            text = " ".join(text.split())
    except (OSError, UnicodeDecodeError) as error:
        raise SecretUnavailable(f"{path}: {type(error).__name__}") from None
    if not text or not text.isprintable():
        raise SecretUnavailable(f"{path}: empty, or not one line of text")
    return Secret(text)


def read_secret_bytes(path: Path) -> bytes:
    """What a file of several lines holds, such as a key in PEM; raises ``SecretUnavailable``."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise SecretUnavailable(f"{path}: {type(error).__name__}") from None


@dataclass(slots=True)
class _Watched:
    path: Path
    secret: Secret | None = None
    stamp: tuple[int, int, int] = (0, 0, 0)
    checked_ns: int = -CHECK_EVERY_NS


class SecretFiles:
    """``Credentials`` from one file a provider; a changed file is read again.

    The last good secret stays in use while a file is missing or unreadable, so
    that a mount that is being replaced breaks nothing.
    """

    def __init__(self, paths: Mapping[str, Path], clock_ns: Callable[[], int]) -> None:
        self._clock_ns = clock_ns
        self._watched = {name: _Watched(path) for name, path in paths.items()}

    def get(self, provider: str) -> Secret:
        watched = self._watched[provider]
        now_ns = self._clock_ns()
        if now_ns - watched.checked_ns >= CHECK_EVERY_NS:
            watched.checked_ns = now_ns
            _refresh(watched)
        if watched.secret is None:
            raise SecretUnavailable(f"no secret for provider {provider}")
        return watched.secret


def _refresh(watched: _Watched) -> None:
    try:
        status = os.stat(watched.path)
        stamp = stamp_of(status)
        if stamp != watched.stamp:
            watched.secret = read_secret(watched.path)
            watched.stamp = stamp
    except (OSError, SecretUnavailable) as error:
        log.warning("secret file %s is not readable: %s", watched.path, type(error).__name__)
