"""Pagination of a JSON API: the request for each page, made from the page before."""

from __future__ import annotations

from collections.abc import Callable, Iterator

from ..config.secrets import SecretText
from ..config.yaml_reader import shown_url
from ..http.conditional import Body, StoredAnswer
from ..http.fetch import Fetcher, FetchError, SourceRequest
from .decode import evaluation
from .page_styles import WalkedPage, style_of
from .pages import ApiRequest, JsonPage, Pages


class PageWalk:
    """The pages of one answer. `requests` makes the request for a page after the page before it was given to `add`;
    then `end` says why there are no more."""

    def __init__(self, request: ApiRequest) -> None:
        self._request, self.pages = request, list[JsonPage]()
        self.end, self.is_cut = "", False
        self._evaluation = evaluation(request.max_bytes, 0)  # pagination.path knows no now()
        self._style = style_of(request, request.pagination) if request.pagination else None

    def requests(self) -> Iterator[tuple[str, bytes | SecretText | None]]:
        """URL and body of each request. Raises FetchError when a page names no usable next page."""
        pagination, style = self._request.pagination, self._style
        if pagination is None or style is None:
            yield self._request.url, self._request.body_with("")
            return
        url, cursor, seen = style.first_url(), "", set[tuple[str, bytes | SecretText | None]]()
        while True:
            request = url, self._request.body_with(cursor)
            if request in seen:
                what = f"cursor {cursor!r:.60}" if self._request.has_cursor_in_body else shown_url(url)
                raise FetchError(f"page {len(self.pages)} names a page that was read before: {what}")
            seen.add(request)
            yield request
            last = self._last(url)
            self.end = style.end(last)
            self.is_cut = not self.end and len(self.pages) >= pagination.max_pages
            if self.end or self.is_cut:
                self.end = self.end or "max_pages"
                return
            url, cursor = style.next(last)

    def add(self, page: JsonPage) -> None:
        """Raises FetchError when the API returned the page before once more."""
        if self._style and self.pages and page.content == self.pages[-1].content:
            detail = f"page {len(self.pages) + 1} is the same as the one before"
            raise FetchError(f"{detail}: {self._style.same_page}")
        self.pages.append(page)

    def _last(self, url: str) -> WalkedPage:
        """The last page, for expressions."""
        page = self.pages[-1]
        return WalkedPage(len(self.pages), url, page, page.answer(page.document, self._evaluation))


def fetch_pages(
    request: ApiRequest,
    read: Callable[[Body], JsonPage],
    fetcher: Fetcher,
    deadline: float,
    stored: StoredAnswer | None = None,
) -> Pages:
    """Every page of an API's answer, before `deadline` (monotonic seconds); `read` decodes a body. Whether the `stored`
    answer has changed is asked with the first request; an answer of several pages is not stored. Raises FetchError, and
    what `read` raises."""
    walk, left_bytes, bodies = PageWalk(request), request.max_bytes, list[Body]()
    for url, body in walk.requests():
        page = SourceRequest(
            request.method,
            url,
            request.http,
            left_bytes,
            request.is_success,
            body=body,
            allow_link_local=request.allow_link_local,
            unix_socket=request.unix_socket,
            stored=stored if not walk.pages else None,
        )
        found = _fetched(request, page, fetcher, deadline)
        left_bytes -= len(found.content)
        bodies = [found] if not walk.pages else []
        walk.add(read(found))
    is_not_modified = any(found.is_not_modified for found in bodies)
    if bodies and not is_not_modified:
        stored = fetcher.memory.stored(bodies[0], stored) if request.may_be_conditional and not walk.is_cut else None
    return Pages(walk.pages, walk.end, walk.is_cut, stored if bodies else None, is_not_modified)


def _fetched(request: ApiRequest, page: SourceRequest, fetcher: Fetcher, deadline: float) -> Body:
    """One answer. Raises FetchError, which shows the template of a URL that is another one each time."""
    try:
        return fetcher.fetch(page, deadline)
    except FetchError as error:
        if request.url == request.template:
            raise
        message = str(error).replace(shown_url(request.url), shown_url(request.template))
        raise type(error)(message) from None
