"""A worker's line to its supervisor: what one worker is told to load or unload, all of them do."""

import asyncio
import json
import os
import socket
from collections.abc import Mapping
from typing import Any

from serving.repository import Extension
from serving.sdk import InvalidInput, ModelNotFound
from serving.workers import CONTROL


class Control:
    """The worker's end."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, extension: Extension) -> None:
        self._reader = reader
        self._writer = writer
        self._extension = extension
        self._answers: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self._asking = asyncio.Lock()

    @classmethod
    async def open(cls, extension: Extension) -> "Control":
        """Connect to the supervisor that started this process, and make the changes that it has seen so far."""
        line = socket.socket(fileno=int(os.environ[CONTROL]))
        reader, writer = await asyncio.open_connection(sock=line)
        control = cls(reader, writer, extension)
        first = json.loads(await reader.readline())
        for change in first["changes"]:
            await control.make(change)
        extension.share = control.ask
        return control

    async def ready(self, line: str) -> None:
        """Say that requests are answered, and `line` with it; then do as told until the supervisor is gone."""
        self._tell({"ready": line})
        while received := await self._reader.readline():
            message = json.loads(received)
            if "do" in message:
                self._tell({"done": await self.make(message["do"])})
            else:
                self._answers.put_nowait(message["answer"])

    async def ask(self, change: Mapping[str, str]) -> None:
        """Have all workers make a change, this one among them.

        Raises:
            ModelNotFound: no source has the model, or none is here.
            InvalidInput: its bundle is refused.
        """
        async with self._asking:
            self._tell({"ask": change})
            answer = await self._answers.get()
        if answer.get("kind") == "missing":
            raise ModelNotFound(change["name"])
        if answer.get("kind"):
            raise InvalidInput(answer["reason"])

    async def make(self, change: Mapping[str, str]) -> dict[str, str]:
        """Make a change here; returns why it was refused, if it was."""
        try:
            await self._extension.change(change)
        except ModelNotFound as error:
            return {"kind": "missing", "reason": str(error)}
        except InvalidInput as error:
            return {"kind": "refused", "reason": str(error)}
        return {}

    def _tell(self, message: Mapping[str, Any]) -> None:
        self._writer.write(json.dumps(message).encode() + b"\n")
