"""A `/metrics` page -> samples, with Prometheus's own strictness: what it refuses is refused, line for line.

`content_type` says what to ask for and which reader an answer needs; `text`, `openmetrics` and `protobuf` are the
readers. `lines` is what the two text formats share, with the ways past their grammar: `layout` compares a page with the
last one, `plain` reads new lines of the common form. `page` is what comes of it, and what is remembered of a target.
"""
