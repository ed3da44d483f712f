"""AWS over a real socket: moto's server, with what it was asked, and refusals on command."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, Self
from urllib.request import Request, urlopen
from wsgiref.types import StartResponse, WSGIEnvironment

import boto3
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app
from werkzeug.serving import make_server

from lambda_remote_write.aws.s3 import S3
from sandbox.amp import SigV4
from tests.rig.delivery import objects_at

REGION = "eu-west-1"
KEYS = {"aws_access_key_id": "testing", "aws_secret_access_key": "testing", "region_name": REGION}


@dataclass(frozen=True, slots=True)
class Exchange:
    """One request that came in; `action` is the method, or the operation of a JSON service."""

    action: str
    path: str  # as it came over the wire
    status: int
    headers: dict[str, str]


class Aws:
    """A context in which AWS listens on the loopback. Also serves as the boto3 session of the code under test."""

    def __init__(self) -> None:
        self.exchanges: list[Exchange] = []
        self.refusal: tuple[int, str] | None = None  # status and error code of every answer
        self._clients: dict[str, Any] = {}
        self._application = DomainDispatcherApplication(create_backend_app)
        self._server = make_server("127.0.0.1", 0, self._serve, threaded=True)
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.02})
        self.url = f"http://127.0.0.1:{self._server.server_port}"

    def __enter__(self) -> Self:
        self._thread.start()
        self.reset()
        return self

    def reset(self) -> None:
        """Begins anew: moto keeps its data per process."""
        self.refusal = None
        with urlopen(Request(f"{self.url}/moto-api/reset", method="POST")):
            self.exchanges.clear()

    def __exit__(self, *_: object) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()

    def client(self, service: str) -> Any:
        """Made once for each service: that costs more than many questions."""
        if service not in self._clients:
            client: Callable[..., Any] = boto3.client  # its overloads take literals only
            self._clients[service] = client(service, endpoint_url=self.url, **KEYS)
        return self._clients[service]

    def client_in(self, service: str, region: str) -> Any:
        """For another region than REGION."""
        client: Callable[..., Any] = boto3.client
        return client(service, endpoint_url=self.url, **KEYS | {"region_name": region})

    def enforce(self, after: float) -> None:
        """So many requests go unchecked (infinitely many by default) before moto looks up the policies of who asks."""
        text, count = {"Content-Type": "text/plain"}, f"{after:.0f}".encode()
        with urlopen(Request(f"{self.url}/moto-api/reset-auth", count, text, method="POST")):
            pass

    def objects(self) -> S3:
        """The code's own client."""
        return objects_at(self.url, SigV4(access_key="testing", secret_key="testing", region=REGION))

    def session(self, profile: str, region: str) -> Self:
        return self

    @property
    def actions(self) -> list[str]:
        return [exchange.action for exchange in self.exchanges]

    def _serve(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        action = environ.get("HTTP_X_AMZ_TARGET", "").rpartition(".")[2] or environ["REQUEST_METHOD"]

        def started(status: str, *rest: Any) -> Callable[[bytes], object]:
            headers = {
                name.removeprefix("HTTP_").replace("_", "-").lower(): value
                for name, value in environ.items()
                if name.startswith("HTTP_")
            }
            self.exchanges.append(Exchange(action, environ["RAW_URI"], int(status[:3]), headers))
            return start_response(status, *rest)

        if self.refusal is None:
            answer: Iterable[bytes] = self._application(environ, started)
            return answer
        status, code = self.refusal
        if environ.get("CONTENT_TYPE", "").startswith("application/x-www-form-urlencoded"):  # a service of XML
            started(f"{status} Refused", [("Content-Type", "text/xml")])
            error = f"<Error><Code>{code}</Code><Message>not authorized: {code}</Message></Error>"
            return [f"<ErrorResponse>{error}<RequestId>1</RequestId></ErrorResponse>".encode()]
        started(f"{status} Refused", [("Content-Type", "application/x-amz-json-1.1")])
        return [json.dumps({"__type": code, "message": f"not authorized: {code}"}).encode()]
