"""A `/metrics` page -> samples, with Prometheus's own strictness: what it refuses is refused, line for line.

`content_type` says what to ask for and which reader an answer needs; `text`, `openmetrics` and `protobuf` are the
readers; `lines` is what the two text formats share, the fast path of a warm environment above all.
"""
