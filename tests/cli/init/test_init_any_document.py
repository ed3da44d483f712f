"""Whatever an API answers, `pusher init` writes a config that loads and gives samples, or none."""

from __future__ import annotations

import json
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from lambda_remote_write.http.response import Headers
from lambda_remote_write_cli.init import preview
from lambda_remote_write_cli.init.answer import Answer
from lambda_remote_write_cli.init.config_writer import Draft, json_job
from lambda_remote_write_cli.init.proposals import propose
from lambda_remote_write_cli.init.record_finder import Finder
from lambda_remote_write_cli.init.request import Request
from lambda_remote_write_cli.init.tree import tree
from tests.rig.init_command import NOW_MS

KEYS = st.sampled_from(
    ["name", "id", "value", "time", "status", "data", "columns", "rows", "a b", "x.y", "ü", "switch:0", "1min", "it's",
     'q"uote', "back\\slash", "@key", "$x", "^", "start", "end", "hosts", "job", "instance", "__name__", "true", "null",
     "le", "", "OpenPerUser", "\n", "-", "#c", "{now}"]
)  # fmt: skip
TEXTS = st.sampled_from(
    ["a", "web-1", "12", "7%", "32 GB", "2026-11-29T13:00:00Z", "2026-11-29 13:00", "ok", "off", "", "x" * 100,
     "1.234,56", "[1]", '{"a": 1}', "{x}", "a: b", "# c", "'", '"', "\\", "\u0007", "0x1F", "env:FOO", "1e999", "NaN"]
)  # fmt: skip
NUMBERS = st.one_of(
    st.integers(-5, 5), st.floats(-100, 100), st.sampled_from([1_795_961_000, 1_795_961_000_000, 10**30])
)
DOCUMENTS = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(
        st.lists(inner, max_size=4),
        st.dictionaries(KEYS, inner, max_size=5),
        st.lists(st.dictionaries(KEYS, inner, max_size=4), min_size=1, max_size=3),
    ),
    max_leaves=25,
)


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.lists(DOCUMENTS, min_size=1, max_size=4), st.dictionaries(KEYS, DOCUMENTS, min_size=1, max_size=5)))
def test_any_document_gives_a_config_that_loads_and_no_metric_of_it_fails(document: Any) -> None:
    assert tree(document, NOW_MS)
    proposal = propose(Finder(document, "hosts", NOW_MS), "api", NOW_MS)
    if not proposal.metrics:
        return
    request = Request("https://api.example.com/hosts")
    text = json_job(Draft("pusher.yaml", "api", "1m", request, proposal, NOW_MS))
    config = preview.checked(text, "pusher.yaml", {})
    headers = Headers([("content-type", "application/json")])
    answer = Answer(json.dumps(document).encode(), "application/json", headers, 200, document)
    found = preview.planned(config, preview.recorded(answer, request), NOW_MS, {})

    assert [metric["failed"] for job in found["jobs"] for metric in job["metrics"] if metric.get("failed")] == []
    assert all("\x07" not in line and "\n" not in line for line in tree(document, NOW_MS))
