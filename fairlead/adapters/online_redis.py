"""Rows of Feast's online store in Redis: one pipelined HMGET round trip a read."""

import os
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any

import redis
from redis.backoff import NoBackoff
from redis.retry import Retry

from fairlead.adapters.feast_layout import field, oldest_in_redis, time_field, timestamp
from fairlead.adapters.online_rows import Deadline, KeyGroup, Row
from fairlead.errors import StoreDownError
from fairlead.features.lookup import LookupView


class _Command:
    """HMGET for one group of views, packed but for the key."""

    def __init__(self, group: KeyGroup, project: str) -> None:
        fields = [field(view, feature) for view, feature in group.fields]
        fields += [time_field(view.name) for view in group.views]
        self.width = len(group.fields)
        self._project = project.encode()
        self._head = b"*%d\r\n$5\r\nHMGET\r\n$" % (len(fields) + 2)
        self._tail = b"\r\n" + b"".join(b"$%d\r\n%b\r\n" % (len(name), name) for name in fields)

    def pack(self, entity: bytes) -> bytes:
        return b"%b%d\r\n%b%b%b" % (
            self._head,
            len(entity) + len(self._project),
            entity,
            self._project,
            self._tail,
        )

    def row(self, reply: Sequence[bytes | None]) -> Row:
        width = self.width
        return Row(reply, [timestamp(time) if time else None for time in reply[width:]])


class RedisRows:
    """`RowStore` in Feast's Redis layout: one hash for an entity, with the fields of all its views.

    redis-py makes the connections; requests are packed here, since its pipeline spends more on packing than Redis on
    answering. Each read has a connection of its own, and gives it back.
    """

    def __init__(self, groups: Sequence[KeyGroup], project: str, options: Mapping[str, Any]) -> None:
        """Prepare the commands; nothing is connected yet.

        Args:
            groups: what is fetched.
            project: Feast's.
            options: of `redis.Redis`, such as host, port, db, password, ssl.
        """
        self._commands = [_Command(group, project) for group in groups]
        self.where = f"Redis at {options['host']}:{options['port']}"
        # A retry would go on after the deadline; RESP2 and no client name save round trips on connecting.
        fixed = {"protocol": 2, "driver_info": None, "retry": Retry(NoBackoff(), 0)}
        self._make: Callable[[], Any] = redis.Redis(**{**options, **fixed}).connection_pool.make_connection
        self._idle: list[Any] = []
        self._process = os.getpid()

    def oldest(self, view: LookupView, asked_at: datetime) -> float | None:
        """See `RowStore`."""
        return oldest_in_redis(view, asked_at)

    def fetch(self, wanted: Sequence[Sequence[bytes]], deadline: Deadline) -> list[list[Row]]:
        """See `RowStore`."""
        request = b"".join(
            [command.pack(key) for command, keys in zip(self._commands, wanted, strict=True) for key in keys]
        )
        if not request:
            return [[] for _ in wanted]
        replies = iter(self._ask(request, sum(map(len, wanted)), deadline))
        return [
            [command.row(next(replies)) for _ in keys] for command, keys in zip(self._commands, wanted, strict=True)
        ]

    def close(self) -> None:
        """Close the connections that no read is using."""
        while self._idle:
            self._idle.pop().disconnect()

    def _ask(self, request: bytes, count: int, deadline: Deadline) -> list[Any]:
        connection = self._take()
        try:
            if connection is not None:
                try:
                    return self._exchange(connection, request, count, deadline)
                except redis.ConnectionError:
                    self.close()  # the server closed it while it was idle, and so the others
            return self._exchange(self._connect(deadline), request, count, deadline)
        except redis.TimeoutError:
            raise deadline.error() from None
        except (redis.RedisError, OSError) as error:
            raise StoreDownError(f"{self.where} cannot be read: {error}") from None

    def _exchange(self, connection: Any, request: bytes, count: int, deadline: Deadline) -> list[Any]:
        whole = False
        try:
            connection.send_packed_command([request], check_health=False)
            replies = [connection.read_response(timeout=deadline.left()) for _ in range(count)]
            whole = True
        finally:
            # What is left unread would be the answer to the next request.
            (self._idle.append if whole else _drop)(connection)
        return replies

    def _connect(self, deadline: Deadline) -> Any:
        connection = self._make()
        connection.socket_connect_timeout = connection.socket_timeout = deadline.left()
        connection.connect()
        return connection

    def _take(self) -> Any:
        if self._process != os.getpid():  # a forked worker must not talk over its parent's connections
            self._idle, self._process = [], os.getpid()
        try:
            return self._idle.pop()
        except IndexError:
            return None


def _drop(connection: Any) -> None:
    connection.disconnect()
