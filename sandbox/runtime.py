"""Runs a built artefact under the real Lambda runtime interface emulator and client, without Docker.

`python -m sandbox.runtime --artefact DIR --event FILE` invokes it once against the example API and the AMP stand-in.
"""

from __future__ import annotations

import argparse
import http.client
import importlib.util
import json
import os
import platform
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from sandbox.process import free_port, start, stop

# What the managed runtime brings beside the artefact: the interface client with its needs, and boto3 with its own.
RUNTIME_MODULES = (
    *("awslambdaric", "runtime_client", "simplejson", "snapshot_restore_py"),
    *("boto3", "botocore", "s3transfer", "dateutil", "six", "jmespath", "urllib3"),
)
EMULATORS = {"x86_64": "aws-lambda-rie-x86_64", "aarch64": "aws-lambda-rie-arm64", "arm64": "aws-lambda-rie-arm64"}
INVOKE_PATH = "/2015-03-31/functions/function/invocations"
INIT_SECONDS = 10  # Lambda's own limit for the init phase
START_SECONDS = 10
REPORT_SECONDS = 3  # the report line follows the answer

# The emulator's own lines; what is left is the function's output.
RAPID = r"^\d{2} \w{3} \d{4} [\d:,]+ \[\w+\] \(rapid\) "
EMULATOR_LINE = re.compile(rf"{RAPID}|^(?:START|END|REPORT) RequestId: ")
REPORT_LINE = re.compile(r"^REPORT RequestId: .*?\bDuration: ([\d.]+) ms\tBilled Duration: (\d+) ms", re.MULTILINE)
INIT_LINE = re.compile(rf"{RAPID}INIT REPORT\(durationMs: ([\d.]+)\)", re.MULTILINE)
INVOKE_LINE = re.compile(rf"{RAPID}INVOKE RTDONE\(.*?duration: ([\d.]+)ms\)", re.MULTILINE)
ERROR_LINE = re.compile(rf"{RAPID}(?:API request - POST \S+/error,|Invoke failed|Invoke\(\) timeout)", re.MULTILINE)
FAILED_START_LINE = re.compile(rf"{RAPID}Invoke DONE failed", re.MULTILINE)

AWS_ENVIRONMENT = {
    "AWS_ACCESS_KEY_ID": "AKIDEXAMPLE",
    "AWS_SECRET_ACCESS_KEY": "wJalrXUtnFEMI/K7MDENG+bPxRfiCYEXAMPLEKEY",
    "AWS_SESSION_TOKEN": "session-token-of-the-sandbox",
    "AWS_REGION": "us-east-1",
    "AWS_DEFAULT_REGION": "us-east-1",
    "AWS_LAMBDA_FUNCTION_NAME": "PusherFunction",
    "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
    "LANG": "en_US.UTF-8",
    "TZ": ":UTC",
}


class RuntimeUnavailableError(Exception):
    """The emulator or a package of the managed runtime is missing here, or it does not start."""


@dataclass(frozen=True, slots=True)
class Invocation:
    """What came back and what it took. `init_ms` is None in a warm environment."""

    payload: Any  # decoded JSON, or the emulator's text when it timed out
    error: bool
    init_ms: float | None
    duration_ms: float  # without the init
    billed_ms: int  # with it
    log: str


class LambdaRuntime:
    """One execution environment around an artefact directory; a context manager.

    The first invocation starts the function's process, the next ones find it warm. Of this process's environment only
    PATH is passed on, and of its packages only those the managed runtime has; the artefact's own come first.
    """

    def __init__(
        self,
        artefact: Path | str,
        handler: str,
        env_vars: Mapping[str, str] | None = None,
        timeout_seconds: int = 60,
        memory_mb: int = 256,
    ) -> None:
        self.artefact = Path(artefact).resolve()
        self.handler = handler
        self.timeout_seconds = timeout_seconds
        self.memory_mb = memory_mb
        self._env_vars = dict(env_vars or {})
        self._log_offset = 0

    def __enter__(self) -> Self:
        with ExitStack() as stack:
            self._folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="lambda-runtime-")))
            self._emulator = copy_emulator(self._folder)
            self._modules = link_runtime_modules(self._folder / "runtime")
            self._log_path = self._folder / "log"
            self._start()
            stack.callback(stop, self._process)  # the emulator ends the function's process on SIGTERM
            self._stack = stack.pop_all()
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def invoke(self, event: Any) -> Invocation:
        """Send one event and wait for its end; invocations go one after another."""
        body = self._post(json.dumps(event).encode())
        log = self._read_log()
        report, init, invoke = REPORT_LINE.search(log), INIT_LINE.search(log), INVOKE_LINE.search(log)
        init_ms = float(init[1]) if init else None
        duration_ms = float(invoke[1]) if invoke else float(report[1]) if report else 0.0
        return Invocation(
            payload=_decoded(body),
            error=ERROR_LINE.search(log) is not None or report is None,
            init_ms=init_ms,
            duration_ms=duration_ms,
            billed_ms=int(report[2]) if report else 0,
            log="\n".join(line for line in log.splitlines() if not EMULATOR_LINE.match(line)),
        )

    def _variables(self) -> dict[str, str]:
        """The function's environment; bytecode is not written, because the real task root is read-only."""
        return {
            "PATH": os.environ.get("PATH", os.defpath),
            **AWS_ENVIRONMENT,
            "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": str(self.memory_mb),
            "AWS_LAMBDA_FUNCTION_TIMEOUT": str(self.timeout_seconds),
            "LAMBDA_TASK_ROOT": str(self.artefact),
            "PYTHONDONTWRITEBYTECODE": "1",
            "PYTHONPATH": os.pathsep.join((str(self.artefact), str(self._modules))),
            **self._env_vars,
        }

    def _start(self) -> None:
        started = start(lambda port: self._spawn(port, free_port()), _is_listening, START_SECONDS)
        if started is None:
            raise RuntimeUnavailableError(f"the emulator does not start: {self._log_path.read_text()[-500:]}")
        self._process, self._port = started

    def _spawn(self, port: int, runtime_port: int) -> subprocess.Popen[bytes]:
        emulator = [str(self._emulator), "--log-level", "debug"]
        emulator += ["--runtime-interface-emulator-address", f"127.0.0.1:{port}"]
        emulator += ["--runtime-api-address", f"127.0.0.1:{runtime_port}"]
        # -S: no site-packages, so that a package missing from the artefact is missing here too.
        function = [sys.executable, "-S", "-m", "awslambdaric", self.handler]
        with self._log_path.open("wb") as log:
            return subprocess.Popen(
                emulator + function, cwd=self.artefact, env=self._variables(), stdout=log, stderr=subprocess.STDOUT
            )

    def _post(self, body: bytes) -> bytes:
        wait_seconds = self.timeout_seconds + 2 * INIT_SECONDS
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=wait_seconds)
        try:
            connection.request("POST", INVOKE_PATH, body)
            return connection.getresponse().read()
        finally:
            connection.close()

    def _read_log(self) -> str:
        """What was logged since the last invocation, up to its report; a function whose start failed has no report."""
        deadline = time.monotonic() + REPORT_SECONDS
        while True:
            with self._log_path.open("rb") as file:
                file.seek(self._log_offset)
                raw = file.read()
            text = raw.decode("utf-8", "replace")
            finished = REPORT_LINE.search(text) or FAILED_START_LINE.search(text)
            if finished or time.monotonic() > deadline:
                self._log_offset += len(raw)
                return text
            time.sleep(0.01)


def _is_listening(port: int) -> bool:
    with suppress(OSError), socket.create_connection(("127.0.0.1", port), timeout=1):
        return True
    return False


def copy_emulator(folder: Path) -> Path:
    """An executable copy of the emulator that SAM's command line carries; its own may lack the execute bit."""
    name = EMULATORS.get(platform.machine())
    if platform.system() != "Linux" or name is None:
        raise RuntimeUnavailableError("the Lambda runtime interface emulator runs on Linux, x86_64 or arm64, only")
    spec = importlib.util.find_spec("samcli")
    if spec is None or spec.origin is None:
        raise RuntimeUnavailableError("aws-sam-cli is not installed: it carries the emulator")
    emulator = folder / name
    shutil.copyfile(Path(spec.origin).parent / "local" / "rapid" / name, emulator)
    emulator.chmod(0o755)
    return emulator


def link_runtime_modules(folder: Path) -> Path:
    """A folder that holds links to the packages of the managed runtime and to nothing else."""
    folder.mkdir()
    for name in RUNTIME_MODULES:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:
            raise RuntimeUnavailableError(f"{name} is not installed: the managed runtime has it")
        origin = Path(spec.origin)
        source = origin.parent if spec.submodule_search_locations else origin
        (folder / source.name).symlink_to(source)
    return folder


def _decoded(body: bytes) -> Any:
    text = body.decode("utf-8", "replace")
    try:
        return json.loads(text)
    except ValueError:
        return text


# --- make invoke -----------------------------------------------------------------------------------------------------

ENVIRONMENT_FILE = Path(__file__).parents[1] / "events" / "env.json"


def function_of(event: Mapping[str, Any]) -> tuple[str, str]:
    """The function an event is meant for: pushes go to the pusher, the rest to the operator."""
    scheduled = event.get("action", "push") == "push"
    return ("PusherFunction", "push_handler") if scheduled else ("OperatorFunction", "operator_handler")


def main(argv: list[str] | None = None) -> int:
    """Invoke an artefact with an event file; 1 when the function failed, 2 when there is no such event."""
    from sandbox.amp import Receiver, SigV4
    from sandbox.api import Api
    from sandbox.example import usage_config
    from sandbox.own_config import BadConfig, in_sandbox, own_variables

    parser = argparse.ArgumentParser(prog="python -m sandbox.runtime", description=(__doc__ or "").split("\n")[0])
    parser.add_argument("--artefact", type=Path, default=Path("build/host"))
    parser.add_argument("--event", type=Path, default=Path("events/schedule.json"))
    parser.add_argument("--config", type=Path, help="your config: its sources are asked, and the samples stay here")
    options = parser.parse_args(argv)
    try:
        event = json.loads(options.event.read_text())
    except (OSError, ValueError) as error:
        detail = error.strerror if isinstance(error, OSError) else f"not JSON: {error}"
        print(f"--event {options.event}: {detail}", file=sys.stderr)
        return 2
    function, handler = function_of(event)
    signed = None if options.config else SigV4(token=AWS_ENVIRONMENT["AWS_SESSION_TOKEN"])
    with Receiver(auth=signed) as receiver, ExitStack() as stack:
        env_vars = json.loads(ENVIRONMENT_FILE.read_text())[function]
        if options.config:
            try:
                config = stack.enter_context(in_sandbox(options.config, receiver.url))
            except BadConfig as error:
                print(f"--config {error}", file=sys.stderr)
                return 2
            env_vars |= own_variables(config, os.environ)
        else:
            api, folder = stack.enter_context(Api()), stack.enter_context(tempfile.TemporaryDirectory())
            config = Path(folder) / "config.yaml"
            job = usage_config(api.url, receiver.url, ranges=event.get("action") == "backfill")
            config.write_text(f"{job}spool: {{location: {folder}/spool}}\n")
        env_vars["PUSHER_CONFIG"] = str(config)
        print(f"{function}  {options.event}")
        with LambdaRuntime(options.artefact, f"lambda_remote_write.app.{handler}", env_vars) as runtime:
            result = runtime.invoke(event)
        if result.log:
            print(result.log, file=sys.stderr)
        print(json.dumps(result.payload, indent=2))
        init = "warm" if result.init_ms is None else f"init {result.init_ms:.0f} ms"
        print(f"{init}, duration {result.duration_ms:.0f} ms, billed {result.billed_ms} ms")
        print(f"the receiver accepted {receiver.accepted} samples and refused {receiver.refused}")
    return 1 if result.error else 0


if __name__ == "__main__":
    sys.exit(main())
