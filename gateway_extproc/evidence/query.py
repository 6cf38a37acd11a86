"""Questions to the decision log and the cost ledger, over all files of a host.

DuckDB answers them from the parts of ``evidence.parts``; what is shown of a decision is always its
own line of the log.  Import this module only where a question is asked: it loads DuckDB.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from gateway_extproc.evidence.columns import COLUMNS, EVERYTHING, Filter
from gateway_extproc.evidence.exports import PARQUET
from gateway_extproc.evidence.parts import Covered, connect, cover, load
from gateway_extproc.evidence.reading import Kind, LogChanged, read_record, shown

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

NEWEST_FIRST: Final = "time_us DESC, rank DESC, begins DESC"
OLDEST_FIRST: Final = "time_us, rank, begins"
FETCHED: Final = 1000


class Totals(NamedTuple):
    """How many decisions a filter means, and how many of them ended how."""

    records: int
    outcomes: dict[str, int]


class Question:
    """One look at the files of a kind, as they were when it was opened.

    The table ``latest`` holds one row for each decision: columns of ``evidence.columns``, and
    ``identity``, ``begins`` and ``size``, which say where its line stands.
    """

    def __init__(self, folder: Path, kind: Kind, *, keep: bool = True) -> None:
        self._kind: Kind = kind
        self._covered: Covered = cover(folder, kind, keep=keep)
        self._files = {
            identity: (rank, path.open("rb"))
            for identity, (rank, path) in self._covered.files.items()
        }
        self._database = connect()
        self._make_tables()

    def __enter__(self) -> Question:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._database.close()
        for _, file in self._files.values():
            file.close()

    def ask(self, sql: str, values: Sequence[Any] = ()) -> list[tuple[Any, ...]]:
        """The rows of an answer, over the table ``latest``."""
        return self._database.execute(sql, list(values)).fetchall()

    def copy(self, sql: str, values: Sequence[Any], file: Path) -> None:
        """Writes an answer as Parquet, readable by its owner only."""
        copy_to(self._database, sql, values, file)

    # ---------------------------------------------------------------------- decisions

    def write_decisions(self, which: Filter, limit: int | None, file: Path) -> None:
        """Decisions as Parquet, the oldest first; the file is its maker's to protect."""
        test, values = which.sql("decisions")
        upto = "" if limit is None else f" LIMIT {int(limit)}"
        self.copy(
            f"SELECT {PARQUET} FROM latest WHERE {test} ORDER BY {OLDEST_FIRST}{upto}", values, file
        )

    def totals(self, which: Filter = EVERYTHING) -> Totals:
        """How many there are."""
        test, values = which.sql(self._kind)
        rows = self.ask(
            f"SELECT outcome, count(*) FROM latest WHERE {test} GROUP BY 1 ORDER BY 1", values
        )
        return Totals(sum(count for _, count in rows), dict(rows))

    def records(
        self, which: Filter = EVERYTHING, limit: int | None = None, order: str = NEWEST_FIRST
    ) -> Iterator[dict[str, Any]]:
        """The records themselves; raises ``LogChanged``."""
        test, values = which.sql(self._kind)
        upto = "" if limit is None else f" LIMIT {int(limit)}"
        found = self._database.cursor().execute(
            f"SELECT decision_id, identity, begins, size FROM latest WHERE {test} "
            f"ORDER BY {order}{upto}",
            values,
        )
        while rows := found.fetchmany(FETCHED):
            for id_, identity, at, size in rows:
                yield shown(self._line(id_, identity, at, size))

    def page(
        self, which: Filter, limit: int, behind: tuple[int, str] | None = None
    ) -> Iterator[tuple[tuple[int, str], dict[str, Any]]]:
        """The newest records behind a position, each with its own; raises ``LogChanged``.

        Positions are unique and stay where they are, whatever is written or rotated meanwhile.
        """
        test, values = which.sql(self._kind)
        if behind is not None:
            test += " AND (time_us < ? OR (time_us = ? AND decision_id < ?))"
            values += [behind[0], *behind]
        rows = self.ask(
            f"SELECT time_us, decision_id, identity, begins, size FROM latest WHERE {test} "
            f"ORDER BY time_us DESC, decision_id DESC LIMIT {int(limit)}",
            values,
        )
        for time_us, id_, identity, at, size in rows:
            yield (time_us, id_), self._line(id_, identity, at, size)

    def _line(self, decision_id: str, identity: str, at: int, size: int) -> dict[str, Any]:
        _, file = self._files[identity]
        file.seek(at)
        record = read_record(file.read(size))
        if record is None or record["decision_id"] != decision_id:
            raise LogChanged(
                f"{file.name}: not the record that stood there; see `decisions verify`"
            )
        return record

    # ------------------------------------------------------------------------ tables

    def _make_tables(self) -> None:
        database, kind = self._database, self._kind
        load(database, "unkept", kind, self._covered.rest)
        database.execute("CREATE TABLE files (identity VARCHAR, rank BIGINT)")
        for identity, (rank, _) in self._files.items():
            database.execute("INSERT INTO files VALUES (?, ?)", [identity, rank])
        names = ", ".join(f'"{name}"' for name in (*COLUMNS[kind], "identity", "begins", "size"))
        kept = ""
        if self._covered.parts:
            paths = ", ".join(_text(str(path)) for path in self._covered.parts)
            kept = f"SELECT {names} FROM read_parquet([{paths}]) UNION ALL "
        database.execute(
            f"CREATE VIEW rows AS SELECT r.*, f.rank FROM ({kept}SELECT {names} FROM unkept) r "
            "JOIN files f USING (identity)"
        )
        self._drop_doubles()

    def _drop_doubles(self) -> None:
        """Of a decision that stands in several stretches one row stays."""
        database = self._database
        database.execute(
            "CREATE TABLE suspects AS SELECT id_hash FROM rows GROUP BY 1 HAVING count(*) > 1"
        )
        [(suspects,)] = database.execute("SELECT count(*) FROM suspects").fetchall()
        if not suspects:
            database.execute("CREATE VIEW latest AS SELECT * FROM rows")
            return
        # The last word on a decision; the first on a cost, see ``evidence.parts``.
        order = "DESC" if self._kind == "decisions" else "ASC"
        database.execute(
            "CREATE TABLE doubles AS SELECT identity, begins FROM (SELECT identity, begins, "
            f"row_number() OVER (PARTITION BY decision_id ORDER BY rank {order}, begins {order}) n "
            "FROM rows WHERE id_hash IN (SELECT id_hash FROM suspects)) WHERE n > 1"
        )
        database.execute(
            "CREATE VIEW latest AS SELECT * FROM rows r ANTI JOIN doubles d "
            "ON r.identity = d.identity AND r.begins = d.begins"
        )


def copy_to(database: DuckDBPyConnection, sql: str, values: Sequence[Any], file: Path) -> None:
    """Writes an answer as Parquet; the file is its maker's to protect."""
    database.execute(
        f"COPY ({sql}) TO {_text(str(file))} (FORMAT parquet, COMPRESSION zstd)", list(values)
    )


def _text(value: str) -> str:
    return "'" + value.replace("'", "''") + "'"
