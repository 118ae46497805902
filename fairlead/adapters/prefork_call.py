"""What `preforked`'s program does: hand a call over, and end as it ends.

Started for every step, by an interpreter that imports nothing else.
"""

import json
import os
import socket
import sys

SIZE_BYTES = 8


def main(path: str, python: str, arguments: list[str]) -> int:
    """Have `-m MODULE ...` run by a copy of the process that listens at a path; anything else runs in `python` itself.

    So does a module when that process has ended: it only takes longer then.

    Returns:
        The exit code.
    """
    with socket.socket(socket.AF_UNIX) as server:
        if arguments[:1] != ["-m"] or not _handed_over(server, path, arguments):
            os.execv(python, [python, *arguments])
        ended = server.recv(1)
        return ended[0] if ended else 1


def _handed_over(server: socket.socket, path: str, arguments: list[str]) -> bool:
    folder = os.getcwd()  # noqa: PTH109 - pathlib takes as long to import as all the rest
    call = {"module": arguments[1], "arguments": arguments[2:], "folder": folder, "environ": dict(os.environ)}
    text = json.dumps(call).encode()
    try:
        server.connect(path)
        socket.send_fds(server, [len(text).to_bytes(SIZE_BYTES, "big")], [0, 1, 2])
        server.sendall(text)
        return server.recv(1) != b""  # it runs
    except OSError:
        return False


if __name__ == "__main__":
    sys.exit(main(sys.argv[1], sys.argv[2], sys.argv[3:]))
