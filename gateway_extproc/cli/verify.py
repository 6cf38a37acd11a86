"""``decisions verify``: are the logs what was written?"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from gateway_extproc.cli.failure import CommandFailure
from gateway_extproc.cli.files import config_file, read_file
from gateway_extproc.evidence.checkpoints import load_public_keys
from gateway_extproc.evidence.verify import FILE, Keys, Report, Shipped, read_shipped
from gateway_extproc.evidence.verify import verify as check


def verify(options: argparse.Namespace) -> int:
    """One line for each problem, then a summary; 1 when something is wrong."""
    files = options.files or _files(options)
    keys = _keys(options.public_keys)
    shipped = _shipped(options.checkpoints)
    began = time.perf_counter()
    try:
        report = check(files, keys=keys, shipped=shipped, archived=options.archived)
    except OSError as error:
        raise CommandFailure(f"{error.filename}: {error.strerror}") from None
    took_s = time.perf_counter() - began
    for problem in report.problems:
        where = f"{problem.path}:{problem.line}" if problem.line else f"{problem.path}"
        record = f" (decision {problem.decision_id})" if problem.decision_id else ""
        print(f"{where}: {problem.what}{record}")
    for note in report.notes:
        print(f"note: {note}")
    for note in _limits(report, keys, shipped):
        print(f"note: {note}")
    print(
        f"{'BROKEN' if report.problems else 'good'}: {report.records} records and"
        f" {report.checkpoints} checkpoints in {report.files} files,"
        f" {len(report.problems)} problems ({report.records / max(took_s, 1e-9):,.0f} records/s)"
    )
    return 1 if report.problems else 0


def _limits(
    report: Report, keys: Keys | None, shipped: tuple[Path, Sequence[Shipped]] | None
) -> list[str]:
    """What this run could not see."""
    notes = []
    if shipped is None:
        notes.append("without --checkpoints nobody can tell whether an end was cut off")
    if keys is None:
        notes.append("without --public-key whoever may write the files can write them anew")
    if report.unsigned:
        notes.append(f"{report.unsigned} lines stand behind the last checkpoint of their log")
    return notes


def _files(options: argparse.Namespace) -> list[Path]:
    folder = options.evidence
    if folder is None:
        folder = Path(read_file(config_file(options.config))[0].evidence.dir)
    found = [path for path in folder.glob("*.jsonl") if FILE.fullmatch(path.name)]
    if not found:
        raise CommandFailure(f"{folder}: no logs here")
    return found


def _keys(paths: Sequence[Path] | None) -> Keys | None:
    if not paths:
        return None
    try:
        return load_public_keys(path.read_bytes() for path in paths)
    except OSError as error:
        raise CommandFailure(f"{error.filename}: {error.strerror}") from None
    except ValueError as error:
        raise CommandFailure(f"--public-key: {error}") from None


def _shipped(path: Path | None) -> tuple[Path, list[Shipped]] | None:
    if path is None:
        return None
    try:
        found = list(read_shipped(path))
    except OSError as error:
        raise CommandFailure(f"{path}: {error.strerror}") from None
    if not found:
        print(f"{path}: no checkpoints in it", file=sys.stderr)
    return path, found
