"""``evidence keygen`` and ``evidence open``: texts that were kept for reviewers."""

from __future__ import annotations

import argparse
import os
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import orjson

from gateway_extproc.cli.adminlog import append_admin_log
from gateway_extproc.cli.failure import CommandFailure
from gateway_extproc.evidence.sealing import (
    Identity,
    NotOpened,
    open_sealed,
    read_identity,
    write_public,
)
from gateway_extproc.evidence.search import find_decision
from gateway_extproc.evidence.texts import find_texts

SHOWN = ("decision_id", "time", "expires", "rule")


def keygen(options: argparse.Namespace) -> int:
    """Writes a new private key; prints the line for ``evidence.reviewers``."""
    identity = Identity(os.urandom(32))
    public = write_public(identity.public)
    text = (
        f"# gateway-extproc evidence, private key of {datetime.now(UTC):%Y-%m-%d}\n"
        f"# public_key: {public}\n{identity.written()}\n"
    )
    try:
        file = os.open(options.out, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except OSError as error:
        raise CommandFailure(f"{options.out}: {error.strerror}") from None
    with os.fdopen(file, "w") as out:
        out.write(text)
    print(public)
    return 0


def reveal(options: argparse.Namespace) -> int:
    """Prints the texts of a decision as JSON; the opening is a line of the admin log there."""
    try:
        identity = read_identity(options.identity.read_text())
    except OSError as error:
        raise CommandFailure(f"{options.identity}: {error.strerror}") from None
    except ValueError as error:
        raise CommandFailure(f"{options.identity}: {error}") from None
    line = _find(options.evidence, options.id)
    if line is None:
        raise CommandFailure(f"no texts of {options.id} in {options.evidence}")
    if datetime.fromisoformat(line["expires"]).timestamp() <= time.time():
        raise CommandFailure(f"{options.id}: its retention ended at {line['expires']}")
    try:
        texts = orjson.loads(open_sealed(line, identity))
    except NotOpened as error:
        raise CommandFailure(f"{options.id}: {error}") from None
    append_admin_log(options.evidence, f"evidence open {line['decision_id']}", "reveal_evidence")
    document = {**{name: line[name] for name in SHOWN}, **texts}
    print(orjson.dumps(document, option=orjson.OPT_INDENT_2).decode())
    return 0


def _find(folder: Path, wanted: str) -> dict[str, Any] | None:
    found = find_texts(folder, wanted)
    if found is None and (record := find_decision(folder, wanted)) is not None:
        found = find_texts(folder, record["decision_id"])
    return found
