"""A `/metrics` page -> samples, as strict as Prometheus: what it refuses is refused here, line for line.

`content_type` makes the Accept header and chooses the parser of an answer: `text_parser`, `openmetrics_parser` or
`protobuf_parser`. `line_parser` is what the two text formats share, with two ways around their grammar:
`page` compares a page with the last one, `fast_path` reads new lines of the common form. `page` has the result
and the cache of a target; `writer` writes samples as text.
"""
