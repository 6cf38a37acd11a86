"""The admin log, as commands on this machine write it."""

from __future__ import annotations

import os
import pwd
import sys
from datetime import UTC, datetime
from pathlib import Path

import orjson

from gateway_extproc.config.model import Config
from gateway_extproc.core.access import AdminPermission
from gateway_extproc.supervisor.gate import ADMIN_LOG


def tell_admin_log(config: Config, command: str, permission: AdminPermission) -> None:
    """One line of the admin log: whoever may run commands here answers for it by his login."""
    append_admin_log(Path(config.evidence.dir), command, permission)


def append_admin_log(folder: Path, command: str, permission: AdminPermission) -> None:
    """The same for a folder of evidence; a folder that cannot be written to is told."""
    line = {
        "time": datetime.now(UTC).isoformat().replace("+00:00", "Z"),
        "method": "CLI",
        "path": command,
        "source": "command line",
        "permission": permission,
        "status": 200,
        "user": login(),
    }
    try:
        folder.mkdir(parents=True, exist_ok=True)
        file = os.open(folder / ADMIN_LOG, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        try:
            os.write(file, orjson.dumps(line) + b"\n")
        finally:
            os.close(file)
    except OSError as error:
        print(f"gateway-extproc: not in the admin log: {error}", file=sys.stderr)


def login() -> str:
    """Who runs this command, as the system knows it."""
    try:
        return pwd.getpwuid(os.getuid()).pw_name
    except KeyError:
        return str(os.getuid())
