"""Python programs that start without importing anew: a server has imported their modules, and forks for each call.

Each call still is a process of its own, with the caller's environment, folder, standard streams and exit status. Only
the imports are shared, which are most of what a short command takes.
"""

from __future__ import annotations

import atexit
import fcntl
import importlib
import json
import os
import runpy
import select
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import NoReturn

_MOST_STREAMS = 256  # of a caller
_CLIENT = """\
#!{python} -IS
import json, os, socket, sys

def is_open(number):
    try:
        return bool(os.fstat(number))
    except OSError:
        return False

streams = [number for number in range({most}) if is_open(number)]  # bash passes files beside the three, for <(…)
server = socket.socket(socket.AF_UNIX)
server.connect({address!r})
call = json.dumps([{words!r} + sys.argv[1:], dict(os.environ), os.getcwd(), streams])
socket.send_fds(server, [b"-"], streams)
server.sendall(call.encode())
server.shutdown(socket.SHUT_WR)
os._exit(int(server.recv(16) or 255))
"""


def forked_program(words: Sequence[str], imports: Sequence[str], path: Sequence[str | Path] = ()) -> Path:
    """A program that runs `words`, a module and its first arguments, in a fork of a server that has imported these
    modules, with `path` before its own. The server ends with this process."""
    folder = Path(tempfile.mkdtemp())
    address = folder / "calls"
    listening = socket.socket(socket.AF_UNIX)
    listening.bind(str(address))
    listening.listen(16)
    server = subprocess.Popen(
        [sys.executable, "-P", __file__, str(listening.fileno()), *imports],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(map(str, path))},
        pass_fds=[listening.fileno()],
        stdin=subprocess.PIPE,
    )
    atexit.register(server.communicate)  # to close stdin, and to wait
    listening.close()
    program = folder / words[0]
    program.write_text(
        _CLIENT.format(python=sys.executable, address=str(address), most=_MOST_STREAMS, words=list(words))
    )
    program.chmod(0o755)
    return program


# --- The server -------------------------------------------------------------------------------------------------------


def _serve(listening: socket.socket, own: Mapping[str, str]) -> None:
    """Until the process that started it has ended, which closes stdin. `own` are variables that modules have set."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # it waits for no child
    while listening in select.select([listening, sys.stdin], [], [])[0]:
        connection, _ = listening.accept()
        if os.fork() == 0:
            listening.close()
            _run(connection, own)
        connection.close()


def _run(connection: socket.socket, own: Mapping[str, str]) -> NoReturn:
    """One call, in a process of its own."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    _, received, _, _ = socket.recv_fds(connection, 1, _MOST_STREAMS)
    call = b"".join(iter(lambda: connection.recv(65_536), b""))
    (module, *arguments), environment, folder, streams = json.loads(call)
    connection = socket.socket(fileno=_moved(connection.detach()))
    for stream, number in zip([_moved(one) for one in received], streams, strict=True):
        os.dup2(stream, number)
        os.close(stream)
    os.chdir(folder)
    os.environ.clear()
    os.environ.update({**own, **environment})
    time.tzset()
    sys.stdin, sys.stdout, sys.stderr = (
        open(number, mode, encoding="utf-8", errors=errors, closefd=False)  # noqa: SIM115 - as long as the process
        for number, mode, errors in (
            (0, "r", "surrogateescape"),
            (1, "w", "surrogateescape"),
            (2, "w", "backslashreplace"),
        )
    )
    sys.argv = [module, *arguments]
    status = _status_of(module)
    connection.sendall(str(status).encode())
    os._exit(status)


def _moved(stream: int) -> int:
    """The same beyond the numbers that a caller has."""
    moved = fcntl.fcntl(stream, fcntl.F_DUPFD, _MOST_STREAMS)
    os.close(stream)
    return moved


def _status_of(module: str) -> int:
    """Runs a module as `python -m` does, and what an interpreter does in the end."""
    status: object = 0
    try:
        runpy.run_module(module, run_name="__main__", alter_sys=True)
    except SystemExit as end:
        status = end.code
    except BaseException:
        traceback.print_exc()
        status = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    if not (status is None or isinstance(status, int)):
        print(status, file=sys.stderr)
    sys.stderr.flush()
    return status if isinstance(status, int) else int(status is not None)


if __name__ == "__main__":
    number, *imports = sys.argv[1:]
    before = dict(os.environ)
    for name in imports:
        importlib.import_module(name)
    listening = socket.socket(fileno=int(number))
    folder = Path(listening.getsockname()).parent
    _serve(listening, {name: text for name, text in os.environ.items() if before.get(name) != text})
    shutil.rmtree(folder)
