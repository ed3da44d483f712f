"""Objects in S3 over the project's own HTTP and signature: boto3's S3 client would cost more than the rest of a cold
start."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Any
from urllib.parse import quote, unquote_plus

from .config.schema import SigV4
from .config.secrets import SecretStore
from .delivery.credentials import CredentialsError, CredentialsProvider
from .delivery.sign import signed
from .transport import Answer, Channel, HttpRequest, Transport, TransportError

_UNRESERVED = "-._~"
_MAX_LIST_BYTES = 5_000_000  # one page of a listing has 1,000 keys of 1,024 bytes at most
_NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"


Keys = list[str]  # inside S3, `list` is the method


class S3Error(OSError):
    """An object that cannot be read, as a file that cannot. The message names bucket, key, and what to allow."""


class S3NotFound(S3Error, FileNotFoundError):
    """There is no such object, or no such bucket."""


@dataclass(frozen=True, slots=True)
class Object:
    content: bytes = field(repr=False)
    etag: str


class S3:
    """The objects that this function's role may use, in its own region. Safe for several threads."""

    def __init__(
        self,
        environment: Mapping[str, str],
        transport: Transport,
        secrets: SecretStore,
        session: Callable[[str, str], Any],
        now_ms: Callable[[], int],
    ) -> None:
        self._environment, self._transport, self._now_ms = environment, transport, now_ms
        self._sigv4 = SigV4(region=environment.get("AWS_REGION") or "us-east-1", service="s3")
        self._credentials = CredentialsProvider(
            self._sigv4, environment, secrets, session, lambda: self._now_ms() / 1000
        )

    def get(self, bucket: str, key: str, deadline: float, max_bytes: int = 50_000_000) -> bytes:
        """The whole object. `deadline` is monotonic seconds. Raises S3Error."""
        found = self.get_changed(bucket, key, "", deadline, max_bytes)
        return found.content if found else b""

    def get_changed(self, bucket: str, key: str, etag: str, deadline: float, max_bytes: int) -> Object | None:
        """The object, or None when it still has this `etag` ("" for none known). Raises S3Error."""
        place = f"s3://{bucket}/{key}"
        request = HttpRequest("GET", self._url(bucket, key), {"If-None-Match": etag} if etag else {})
        with self._send(request, place, deadline) as answer:
            if answer.status == 304 and etag:
                return None
            _check(answer, place, "s3:GetObject on this object (a missing object also answers 403)")
            return Object(_body(answer, place, max_bytes), answer.headers.get("ETag", ""))

    def list(self, bucket: str, prefix: str, deadline: float) -> Keys:
        """All keys that begin with `prefix`, in S3's order. Raises S3Error."""
        return [key for page in self._pages(bucket, prefix, deadline) for key in page]

    def _pages(self, bucket: str, prefix: str, deadline: float) -> Iterator[Keys]:
        place, token = f"s3://{bucket}/{prefix}*", ""
        while True:
            query = {"encoding-type": "url", "list-type": "2", "prefix": prefix}
            if token:
                query["continuation-token"] = token
            request = HttpRequest("GET", self._url(bucket, "", query), {})
            with self._send(request, place, deadline) as answer:
                _check(answer, place, "s3:ListBucket on this bucket")
                keys, token = _listed(_body(answer, place, _MAX_LIST_BYTES), place)
            yield keys
            if not token:
                return

    def _send(self, request: HttpRequest, place: str, deadline: float) -> Answer:
        """One signed exchange; the body is still to be read, which raises S3Error through `_body` only."""
        try:
            headers = signed(request, self._sigv4, self._credentials.get(), self._now_ms())
            left = deadline - time.monotonic()
            return self._transport.send(replace(request, headers=headers), Channel(), left)
        except (TransportError, CredentialsError) as error:
            raise S3Error(f"{place}: {error}") from None

    def _url(self, bucket: str, key: str, query: Mapping[str, str] | None = None) -> str:
        region = self._sigv4.region
        endpoint = self._environment.get("AWS_ENDPOINT_URL_S3") or self._environment.get("AWS_ENDPOINT_URL")
        if endpoint:
            base = f"{endpoint.rstrip('/')}/{bucket}"
        elif "." in bucket:  # its certificate covers one name level only
            base = f"https://s3.{region}.amazonaws.com/{bucket}"
        else:
            base = f"https://{bucket}.s3.{region}.amazonaws.com"
        pairs = [f"{name}={quote(value, safe=_UNRESERVED)}" for name, value in sorted((query or {}).items())]
        path = quote(key, safe=f"/{_UNRESERVED}")
        return f"{base}/{path}?{'&'.join(pairs)}" if pairs else f"{base}/{path}"


def _check(answer: Answer, place: str, allowance: str) -> None:
    """Raises S3Error for every answer but 200."""
    if answer.status == 200:
        return
    if answer.status == 404:
        raise S3NotFound(f"{place}: S3 answered 404: there is no such bucket or object")
    elsewhere = answer.headers.get("x-amz-bucket-region", "")
    hint = {
        301: f": the bucket is in another region{f' ({elsewhere})' if elsewhere else ''}",
        403: f": the role needs {allowance}",
    }.get(answer.status, "")
    raise S3Error(f"{place}: S3 answered {answer.status}{hint}")


def _body(answer: Answer, place: str, max_bytes: int) -> bytes:
    """The whole body: half an object may well look like one. Raises S3Error."""
    content = bytearray()
    try:
        for chunk in answer.chunks():
            content += chunk
            if len(content) > max_bytes:
                raise S3Error(f"{place}: it has more than {max_bytes} bytes")
    except TransportError as error:
        raise S3Error(f"{place}: {error}") from None
    return bytes(content)


def _listed(body: bytes, place: str) -> tuple[Keys, str]:
    """(keys, continuation token or "") of one page of ListObjectsV2."""
    from xml.etree import ElementTree

    try:
        root = ElementTree.fromstring(body)  # noqa: S314 - S3's own answer, signed for and bounded
    except ElementTree.ParseError as error:
        raise S3Error(f"{place}: S3 answered something that is no listing ({error})") from None
    keys = [unquote_plus(key.text or "") for key in root.iterfind(f"{_NAMESPACE}Contents/{_NAMESPACE}Key")]
    return keys, root.findtext(f"{_NAMESPACE}NextContinuationToken") or ""
