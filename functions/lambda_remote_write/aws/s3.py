"""Objects in S3 over the project's own HTTP and signature: boto3's S3 client would cost more than the rest of a cold
start."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from types import MappingProxyType
from typing import Any, TypeVar
from urllib.parse import quote, unquote_plus, urlsplit

from ..config.partitions import is_aws_host, partition_of
from ..config.schema import SigV4
from ..config.secrets import SecretStore
from ..http import Answer, ConnectionOptions, HttpRequest, Transport, TransportError
from ..store import MAX_BYTES, MAX_LISTED, Changed, Keys, NotStored, Object, StoreError
from .credentials import CredentialsError, CredentialsProvider
from .sigv4 import signed

_UNRESERVED = "-._~"
_MAX_LIST_BYTES = 5_000_000  # one page of a listing has 1,000 keys of 1,024 bytes at most
_MAX_ANSWER_BYTES = 100_000  # of what S3 says to a write; read, so that the connection serves again
_NAMESPACE = "{http://s3.amazonaws.com/doc/2006-03-01/}"
_READING = "s3:GetObject on this object (a missing object also answers 403)"
_NO_MORE: Mapping[str, str] = MappingProxyType({})
_TRIES, _PAUSE_SECONDS = 3, 0.05
_BUCKET = re.compile(r"[A-Za-z0-9._-]{1,255}")  # as in botocore.handlers.validate_bucket_name
_CONTENT_RANGE = re.compile(r"bytes (?P<bytes>\d{1,18}-\d{1,18}|\*)/(?P<size>\d{1,18})", re.ASCII)

Result = TypeVar("Result")


class _Passing(StoreError):
    """No answer, or one that asks to come back: it may be another one in a moment."""


@dataclass(frozen=True, slots=True)
class _Page:
    """One page of a listing; `token` continues it, "" at its end."""

    keys: Keys
    folders: Keys
    token: str


@dataclass(frozen=True, slots=True)
class Piece:
    """A part of an object, with the ETag and the size of all of it."""

    content: bytes
    etag: str
    size: int


class S3:
    """The objects that this function's role may use, in its own region. Safe for several threads."""

    def __init__(
        self,
        env_vars: Mapping[str, str],
        transport: Transport,
        secrets: SecretStore,
        session: Callable[[str, str], Any],
        now_ms: Callable[[], int],
    ) -> None:
        self._transport, self._now_ms = transport, now_ms
        # Where the environment says that S3 is; "" for AWS's own address.
        self._endpoint = env_vars.get("AWS_ENDPOINT_URL_S3") or env_vars.get("AWS_ENDPOINT_URL") or ""
        self._sigv4 = SigV4(region=env_vars.get("AWS_REGION") or "us-east-1", service="s3")
        self._credentials = CredentialsProvider(self._sigv4, env_vars, secrets, session, now_ms)

    def get(self, bucket: str, key: str, deadline: float, max_bytes: int = MAX_BYTES) -> bytes:
        """The whole object. `deadline` is monotonic seconds. Raises StoreError."""
        found = self.get_changed(bucket, key, "", deadline, max_bytes)
        return found.content if found else b""

    def get_changed(self, bucket: str, key: str, etag: str, deadline: float, max_bytes: int) -> Object | None:
        """The object, or None when it still has this `etag` ("" for none known). Raises StoreError."""
        place = f"s3://{bucket}/{key}"
        request = self._request("GET", self._url(bucket, key), {"If-None-Match": etag} if etag else {})

        def taken(answer: Answer) -> Object | None:
            return None if answer.status == 304 and etag else _object(answer, place, _READING, max_bytes)

        return self._read(request, place, deadline, taken)

    def get_version(self, bucket: str, key: str, version: str, deadline: float, max_bytes: int) -> Object:
        """The object as it was. Raises StoreError."""
        place, allowance = f"s3://{bucket}/{key}, version {version}", "s3:GetObjectVersion on this object"
        request = self._request("GET", self._url(bucket, key, {"versionId": version}))
        return self._read(request, place, deadline, lambda answer: _object(answer, place, allowance, max_bytes))

    def head(self, bucket: str, key: str, deadline: float) -> Piece:
        """The object's size and ETag. Raises StoreError."""
        return self.get_range(bucket, key, 0, 1, "", deadline)

    def get_range(self, bucket: str, key: str, start: int, count: int, etag: str, deadline: float) -> Piece:
        """`count` bytes from `start` on, fewer at the end of the object, none behind it. With `etag` only of these very
        bytes: raises Changed when the object is another one by now. Raises StoreError."""
        place = f"s3://{bucket}/{key}"

        def taken(answer: Answer) -> Piece:
            if answer.status == 412:
                raise Changed(f"{place}: it has changed")
            if answer.status == 416:  # nothing is there, as in an empty object
                return Piece(b"", answer.headers.get("ETag", etag), _size(answer, place, start, 0))
            if answer.status != 206:
                _check(answer, place, _READING)
            content = _body(answer, place, MAX_BYTES)
            if answer.status == 200:  # a store that knows no ranges
                return Piece(content[start : start + count], answer.headers.get("ETag", ""), len(content))
            return Piece(content, answer.headers.get("ETag", ""), _size(answer, place, start, len(content)))

        headers = {"Range": f"bytes={start}-{start + count - 1}"} | ({"If-Match": etag} if etag else {})
        return self._read(self._request("GET", self._url(bucket, key), headers), place, deadline, taken)

    def list(self, bucket: str, prefix: str, deadline: float) -> Keys:
        """All keys that begin with `prefix`, in S3's order. Raises StoreError."""
        return [key for page in self._pages(bucket, prefix, deadline) for key in page.keys]

    def first(self, bucket: str, prefix: str, deadline: float, most: int) -> Keys:
        """The first keys that begin with `prefix`, `most` (up to 1,000) of them. Raises StoreError."""
        return next(self._pages(bucket, prefix, deadline, {"max-keys": str(most)})).keys

    def folders(self, bucket: str, prefix: str, deadline: float) -> Keys:
        """What keys that begin with `prefix` have up to the next slash, that slash included. Raises StoreError."""
        pages = self._pages(bucket, prefix, deadline, {"delimiter": "/"})
        return [folder for page in pages for folder in page.folders]

    def put(self, bucket: str, key: str, content: bytes, deadline: float, expected: str | None = None) -> str:
        """Writes an object and returns its ETag; with `expected` only over the object with this ETag (over none, when
        it is ""). Raises StoreError, and Changed among them."""
        place = f"s3://{bucket}/{key}"
        only = {} if expected is None else {"If-Match": expected} if expected else {"If-None-Match": "*"}
        request = self._request("PUT", self._url(bucket, key), only, content)
        with self._send(request, place, deadline) as answer:
            if answer.status in (409, 412) or (answer.status == 404 and expected):
                raise Changed(f"{place}: another writer was faster")
            _check(answer, place, "s3:PutObject on this object")
            answer.read(_MAX_ANSWER_BYTES)
            return answer.headers.get("ETag", "")

    def delete(self, bucket: str, key: str, deadline: float, expected: str = "") -> bool:
        """Deletes an object if it still has the ETag `expected` ("" for any). False when it was gone, or is
        another; S3 does not tell without an ETag. Raises StoreError."""
        place = f"s3://{bucket}/{key}"
        if expected and not self._is_aws and not self._is_there(bucket, key, expected, deadline):
            return False
        request = self._request("DELETE", self._url(bucket, key), {"If-Match": expected} if expected else {})
        with self._send(request, place, deadline) as answer:
            if answer.status in (404, 409, 412):  # sent twice over a connection that died, it has found its own trace
                return answer.status == 404 and answer.resent
            if answer.status != 204:
                _check(answer, place, "s3:DeleteObject on this object")
            answer.read(_MAX_ANSWER_BYTES)
            return True

    def _is_there(self, bucket: str, key: str, etag: str, deadline: float) -> bool:
        """Whether the object exists and has this ETag. Only AWS answers the conditional DELETE of a missing key with
        404: other stores answer 204 as if they had deleted it, and MinIO does not look at the condition at all. What
        happens between this look and the DELETE is not seen."""
        try:
            found = self.get_range(bucket, key, 0, 1, etag, deadline).etag
        except (NotStored, Changed):
            return False
        if found != etag:  # the answer to another ETag is 412: this answer is not from S3 as it should be
            raise StoreError(f"s3://{bucket}/{key}: it was answered with the ETag {found!r:.50}, not {etag}")
        return True

    def _pages(self, bucket: str, prefix: str, deadline: float, more: Mapping[str, str] = _NO_MORE) -> Iterator[_Page]:
        place, token = f"s3://{bucket}/{prefix}*", ""
        while True:
            query = {"encoding-type": "url", "list-type": "2", "prefix": prefix, **more}
            if token:
                query["continuation-token"] = token
            request = self._request("GET", self._url(bucket, "", query))
            page = self._read(request, place, deadline, lambda answer: _page_of(answer, place))
            yield page
            token = page.token
            if not token:
                return

    @staticmethod
    def _request(
        method: str, url: str, headers: Mapping[str, str] = _NO_MORE, body: bytes | None = None
    ) -> HttpRequest:
        return HttpRequest(method, url, headers, body, is_verbatim=True)  # `a//../b` is a key like any other

    def _read(self, request: HttpRequest, place: str, deadline: float, take: Callable[[Answer], Result]) -> Result:
        """What `take` makes of the answer to a request that changes nothing. What may be better a moment later is tried
        three times, each time with a fair part of what is left of the time. Raises StoreError."""
        for tries_left in range(_TRIES, 0, -1):
            now = time.monotonic()
            try:
                with self._send(request, place, now + (deadline - now) / min(tries_left, 2)) as answer:
                    return take(answer)
            except _Passing:
                pause = _PAUSE_SECONDS * (_TRIES - tries_left + 1)
                if tries_left == 1 or time.monotonic() + pause >= deadline:
                    raise
                time.sleep(pause)
        raise AssertionError("the last try has returned or raised")

    def _send(self, request: HttpRequest, place: str, deadline: float) -> Answer:
        """One signed exchange; the body is still to be read, which raises StoreError through `_body` only."""
        try:
            headers = signed(request, self._sigv4, self._credentials.get(), self._now_ms())
            left = deadline - time.monotonic()
            return self._transport.send(replace(request, headers=headers), ConnectionOptions(), left)
        except CredentialsError as error:
            raise StoreError(f"{place}: {error}") from None
        except TransportError as error:
            raise _Passing(f"{place}: {error}") from None

    @property
    def _is_aws(self) -> bool:
        return not self._endpoint or is_aws_host(urlsplit(self._endpoint).hostname or "")

    def _url(self, bucket: str, key: str, query: Mapping[str, str] = _NO_MORE) -> str:
        """Raises StoreError."""
        region, endpoint = self._sigv4.region, self._endpoint
        if not _BUCKET.fullmatch(bucket):  # anything else may end the host, or be no address
            raise StoreError(f"s3://{bucket:.300}/{key:.1000}: {bucket!r:.100} is no name of a bucket")
        if endpoint:
            base = f"{endpoint.rstrip('/')}/{bucket}"
        elif "." in bucket:  # its certificate covers one name level only
            base = f"https://s3.{region}.{partition_of(region).suffix}/{bucket}"
        else:
            base = f"https://{bucket}.s3.{region}.{partition_of(region).suffix}"
        pairs = [f"{name}={quote(value, safe=_UNRESERVED)}" for name, value in sorted(query.items())]
        path = quote(key, safe=f"/{_UNRESERVED}")
        return f"{base}/{path}?{'&'.join(pairs)}" if pairs else f"{base}/{path}"


def _check(answer: Answer, place: str, allowance: str) -> None:
    """Raises StoreError for every answer but 200."""
    if answer.status == 200:
        return
    if answer.status == 404:
        raise NotStored(f"{place}: S3 answered 404: there is no such bucket or object")
    elsewhere = answer.headers.get("x-amz-bucket-region", "")
    hint = {
        301: f": the bucket is in another region{f' ({elsewhere})' if elsewhere else ''}",
        403: f": the role needs {allowance}",
    }.get(answer.status, "")
    is_passing = answer.status >= 500 or answer.status == 429
    raise (_Passing if is_passing else StoreError)(f"{place}: S3 answered {answer.status}{hint}")


def _size(answer: Answer, place: str, start: int, count: int) -> int:
    """Of the whole object, as the answer to a request from `start` on says that has `count` bytes: `Content-Range` is
    `bytes 0-9/10`, or `bytes */10` where no byte is (RFC 9110, 14.4). Raises StoreError."""
    detail = answer.headers.get("Content-Range", "")
    found = _CONTENT_RANGE.fullmatch(detail)
    if not detail and not count:  # a 416 need not say more: the object ends there, or before
        return start
    if found and found["bytes"] == (f"{start}-{start + count - 1}" if count else "*"):
        return int(found["size"])
    raise StoreError(f"{place}: {count} bytes from {start} on were answered with the Content-Range {detail!r:.60}")


def _body(answer: Answer, place: str, max_bytes: int) -> bytes:
    """The whole body: half an object may well look like one. Raises StoreError."""
    content = bytearray()
    try:
        for chunk in answer.chunks():
            content += chunk
            if len(content) > max_bytes:
                raise StoreError(f"{place}: it has more than {max_bytes} bytes")
    except TransportError as error:
        raise _Passing(f"{place}: {error}") from None
    return bytes(content)


def _object(answer: Answer, place: str, allowance: str, max_bytes: int) -> Object:
    _check(answer, place, allowance)
    version = answer.headers.get("x-amz-version-id", "")
    return Object(_body(answer, place, max_bytes), answer.headers.get("ETag", ""), version)


def _page_of(answer: Answer, place: str) -> _Page:
    """One page of ListObjectsV2."""
    from xml.etree import ElementTree

    _check(answer, place, "s3:ListBucket on this bucket")
    body = _body(answer, place, _MAX_LIST_BYTES)
    try:
        root = ElementTree.fromstring(body)  # noqa: S314 - S3's own answer, signed for and bounded
    except ElementTree.ParseError as error:
        raise StoreError(f"{place}: S3 answered something that is no listing ({error})") from None

    def texts(path: str) -> Keys:
        return [unquote_plus(found.text or "") for found in root.iterfind(path)]

    keys = texts(f"{_NAMESPACE}Contents/{_NAMESPACE}Key")
    folders = texts(f"{_NAMESPACE}CommonPrefixes/{_NAMESPACE}Prefix")
    return _Page(keys, folders, root.findtext(f"{_NAMESPACE}NextContinuationToken") or "")


class S3Store:
    """The objects of one bucket below one prefix, as a store."""

    def __init__(self, objects: S3, location: str) -> None:
        """`location` is s3://BUCKET or s3://BUCKET/PREFIX."""
        self._bucket, _, prefix = location.removeprefix("s3://").partition("/")
        self._objects, self._prefix = objects, f"{prefix.rstrip('/')}/" if prefix.strip("/") else ""

    @property
    def place(self) -> str:
        return f"s3://{self._bucket}/{self._prefix}".rstrip("/")

    def get(self, key: str, deadline: float, etag: str = "") -> Object | None:
        return self._objects.get_changed(self._bucket, self._prefix + key, etag, deadline, MAX_BYTES)

    def put(self, key: str, content: bytes, deadline: float, expected: str | None = None) -> str:
        return self._objects.put(self._bucket, self._prefix + key, content, deadline, expected)

    def list(self, prefix: str, deadline: float, most: int = MAX_LISTED) -> Keys:
        found = self._objects.first(self._bucket, self._prefix + prefix, deadline, most)
        return [key.removeprefix(self._prefix) for key in found]

    def folders(self, prefix: str, deadline: float) -> Keys:
        whole = self._prefix + prefix
        return [found.removeprefix(whole) for found in self._objects.folders(self._bucket, whole, deadline)]

    def delete(self, key: str, deadline: float, expected: str = "") -> bool:
        return self._objects.delete(self._bucket, self._prefix + key, deadline, expected)
