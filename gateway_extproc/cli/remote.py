"""Commands at the admin API of a running gateway, which enforces roles and logs each call.

Whoever gives a credential asks the gateway, and gets an error where that does not answer: never
files instead.  Whoever gives none works on the files, which the machine's own permissions guard.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from ipaddress import ip_address
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from gateway_extproc.cli.adminargs import ADDRESS, KEY_FILE
from gateway_extproc.cli.failure import CommandFailure
from gateway_extproc.core.secret import Secret

if TYPE_CHECKING:
    from gateway_extproc.supervisor.admin_client import AdminClient

WRONG_USE: Final = 2
OWN_WORDS: Final = re.compile(r"[a-z_]+: ")
"""What the gateway's own refusals begin with; what gRPC itself says does not."""


def asks_gateway(options: argparse.Namespace, environ: Mapping[str, str] = os.environ) -> bool:
    """Whether the gateway is to be asked; raises ``CommandFailure`` where options disagree."""
    folder = getattr(options, "dir", None)
    if folder is not None:
        if options.admin or options.admin_key_file:
            raise CommandFailure(
                "--dir reads files, --admin asks the gateway: one of them", WRONG_USE
            )
        if environ.get(KEY_FILE):
            print(f"gateway-extproc: read from {folder}, without the gateway", file=sys.stderr)
        return False
    if options.admin_key_file or environ.get(KEY_FILE):
        return True
    if options.admin:
        raise CommandFailure(
            f"--admin needs a credential: --admin-key-file FILE, or {KEY_FILE}", WRONG_USE
        )
    return False


@contextmanager
def gateway(
    options: argparse.Namespace, environ: Mapping[str, str] = os.environ
) -> Iterator[AdminClient]:
    """The running gateway; whatever it answers with an error becomes one line."""
    key = _read_key(options.admin_key_file or Path(environ[KEY_FILE]))
    target = target_of(options.admin or environ.get(ADDRESS) or _own_socket(options))
    # A fifth of a second that commands on files save.
    from gateway_extproc.supervisor.admin_client import AdminClient
    from gateway_extproc.wire.rpc import RpcFailed

    print(f"gateway-extproc: asked the gateway at {target}", file=sys.stderr)
    try:
        with AdminClient(target, key) as client:
            yield client
    except RpcFailed as failed:
        if OWN_WORDS.match(failed.message):
            raise CommandFailure(f"the gateway says: {failed.message}") from None
        raise CommandFailure(f"no answer from a gateway at {target}: {failed.message}") from None


def target_of(address: str) -> str:
    """What gRPC calls an address; raises ``CommandFailure`` for another machine's.

    The call carries the key as it is, so over TCP it may only go to this machine, where a tunnel
    may begin.
    """
    if address.startswith("unix:"):
        return f"unix:{Path(address.removeprefix('unix:')).absolute()}"
    host, colon, port = address.rpartition(":")
    if not (colon and port.isdecimal()):
        raise CommandFailure(f"--admin {address}: neither unix:PATH nor HOST:PORT", WRONG_USE)
    if not _is_here(host.strip("[]")):
        raise CommandFailure(
            f"--admin {address}: not this machine, and the key would travel unencrypted; "
            "forward the socket to a port here (ssh -L PORT:/path/to/admin.sock HOST)",
            WRONG_USE,
        )
    return address


def _is_here(host: str) -> bool:
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def _own_socket(options: argparse.Namespace) -> str:
    from gateway_extproc.cli.records import read_config
    from gateway_extproc.supervisor.rpc import SOCKET

    return f"unix:{Path(read_config(options.config).server.socket_dir) / SOCKET}"


def _read_key(path: Path) -> Secret:
    try:
        key = path.read_text().strip()
    except (OSError, UnicodeDecodeError) as error:
        reason = getattr(error, "strerror", None) or "not a text"
        raise CommandFailure(f"{path}: {reason}", WRONG_USE) from None
    if not key or not key.isascii() or not key.isprintable():
        raise CommandFailure(f"{path}: holds no key", WRONG_USE)
    return Secret(key)


def said(arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Arguments of a call, without those that say nothing."""
    return {name: value for name, value in arguments.items() if value not in (None, "", [], {}, 0)}
