"""The database that measurements are kept in: an SQLite file, or whatever SQLAlchemy has an address for."""

from __future__ import annotations

import contextlib
import getpass
import socket
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ellopt.core.errors import ConfigurationError

if TYPE_CHECKING:
    from sqlalchemy import ColumnElement, Connection, Engine, Table

_LOCK_TIMEOUT = 10.0
_KEY = ("context", "shape", "options", "visit")
#: Columns that stores of earlier versions lack.
_LATER = ("who", "device", "version")
COLUMNS = (*_KEY, "samples", "created", *_LATER)


class Database:
    """Rows of samples, each of one visit; safe to use from several threads and processes. Raises SQLAlchemyError.

    ``place``: the path of an SQLite file, or a URL. Raises ConfigurationError for what is no URL of a database, and for
    one that needs a driver that is not installed.
    """

    def __init__(self, place: Path | str) -> None:
        self.place = place
        self._engine: Engine | None = None
        self._made = False
        if isinstance(place, str):
            self._open()

    @property
    def shown(self) -> str:
        """The place, without a password."""
        if isinstance(self.place, Path):
            return str(self.place)
        from sqlalchemy import make_url

        return make_url(self.place).render_as_string(hide_password=True)

    def insert(self, rows: Sequence[Mapping[str, Any]]) -> int:
        """Keep ``rows``, and return how many were new: those of the same visit are the same, and not kept again."""
        with self._begin() as (connection, table):
            before = _count(connection, table)
            kind = connection.dialect.name
            statement: Any
            if kind == "sqlite":
                from sqlalchemy.dialects.sqlite import insert as insert_sqlite

                statement = insert_sqlite(table).on_conflict_do_nothing()
            elif kind == "postgresql":
                from sqlalchemy.dialects.postgresql import insert as insert_postgresql

                statement = insert_postgresql(table).on_conflict_do_nothing()
            else:
                _insert_each(connection, table, rows)
                return _count(connection, table) - before
            connection.execute(statement, [dict(row) for row in rows])
            return _count(connection, table) - before

    def rows(self, **equal: str) -> list[dict[str, Any]]:
        """The rows whose columns are as said, oldest first."""
        from sqlalchemy import select

        with self._begin() as (connection, table):
            wanted = [table.c[name] == value for name, value in equal.items()]
            found = connection.execute(select(table).where(*wanted).order_by(table.c.created))
            return [dict(row) for row in found.mappings()]

    def delete(self, before: float | None = None, contexts: Iterable[str] | None = None) -> int:
        """Delete what is older than ``before``, seconds since 1970, and of one of ``contexts``; how many rows went."""
        from sqlalchemy import delete

        with self._begin() as (connection, table):
            wanted: list[ColumnElement[bool]] = []
            if before is not None:
                wanted.append(table.c.created < before)
            if contexts is not None:
                wanted.append(table.c.context.in_(list(contexts)))
            return connection.execute(delete(table).where(*wanted)).rowcount

    def _open(self) -> Engine:
        if self._engine is None:
            from sqlalchemy import URL, create_engine
            from sqlalchemy.exc import ArgumentError, NoSuchModuleError
            from sqlalchemy.pool import NullPool

            is_file = isinstance(self.place, Path)
            url = URL.create("sqlite", database=str(self.place)) if is_file else str(self.place)
            arguments = {"timeout": _LOCK_TIMEOUT} if str(url).startswith("sqlite") else {}
            try:
                self._engine = create_engine(url, poolclass=NullPool, connect_args=arguments)
            except (ArgumentError, ValueError) as error:
                raise ConfigurationError(
                    "--store: not the URL of a database, such as sqlite:///store.db or postgresql://user@host/name"
                ) from error
            except (NoSuchModuleError, ImportError) as error:
                raise ConfigurationError(f"--store: it needs a library that is not installed: {error}") from error
        return self._engine

    @contextlib.contextmanager
    def _begin(self) -> Iterator[tuple[Connection, Table]]:
        """A connection and the table, for one transaction."""
        engine = self._open()
        table = _table()
        if not self._made:
            _make(engine, table)
            self._made = True
        with engine.begin() as connection:
            yield connection, table


def who() -> str:
    """The user and the machine that write."""
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "nobody"
    return f"{user}@{socket.gethostname()}"


def _table() -> Table:
    from sqlalchemy import Column, Double, MetaData, Table, Text, text

    columns = [Column(name, Text, primary_key=name in _KEY, nullable=False) for name in (*_KEY, "samples")]
    later = [Column(name, Text, nullable=False, server_default=text("''")) for name in _LATER]
    return Table("samples", MetaData(), *columns, Column("created", Double, nullable=False), *later)


def _make(engine: Engine, table: Table) -> None:
    """Make the table, or what an earlier version lacks; another process may do the same at this moment."""
    from sqlalchemy import inspect, text
    from sqlalchemy.exc import DBAPIError

    for attempt in (1, 2, 3):
        try:
            with engine.begin() as connection:
                table.metadata.create_all(connection)
                there = {column["name"] for column in inspect(connection).get_columns(table.name)}
                for name in (name for name in _LATER if name not in there):
                    connection.execute(text(f"alter table samples add column {name} text not null default ''"))
            return
        except DBAPIError:
            if attempt == 3:
                raise
            time.sleep(0.1 * attempt)


def _count(connection: Connection, table: Table) -> int:
    from sqlalchemy import func, select

    return int(connection.execute(select(func.count()).select_from(table)).scalar_one())


def _insert_each(connection: Connection, table: Table, rows: Iterable[Mapping[str, Any]]) -> None:
    from sqlalchemy import insert
    from sqlalchemy.exc import IntegrityError

    for row in rows:
        with contextlib.suppress(IntegrityError), connection.begin_nested():
            connection.execute(insert(table), dict(row))
