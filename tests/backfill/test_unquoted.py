"""What a function says of an object that a request names: which one, where and what is wrong, never what stands there.
A caller of the function need not be allowed to read a bucket, and its log has other readers."""

from __future__ import annotations

import gzip
import json
from pathlib import Path

import pytest

from lambda_remote_write.backfill import invoke
from lambda_remote_write.events import BadEvent
from tests.rig import backfill as rigs
from tests.rig.backfill import DAY, NOW_MS
from tests.rig.operator import NOW, Operator, operator

pytestmark = pytest.mark.slow  # whole backfills, one for each way to fail

__all__ = ["operator"]

SECRET = "hunter2correcthorse"
STAMP = NOW_MS // 1000 - 3_600
CONFIG = f"""\
remote_write:
  - url: https://example.com
    basic_auth: {{username: me, password: "{SECRET}"}}
{SECRET}
{SECRET} {SECRET}
{SECRET}: 1 2 3
password{{a="{SECRET} 1
"""
RECORD = {"at": STAMP, "host": "a", "value": 1}
LINES = {
    "a config": CONFIG,
    "no number": f"a {SECRET} {NOW}\n",
    "no time": f"a 1 {SECRET}\n",
    "a label name": f'a{{{SECRET}"="1"}} 1 {NOW}\n',
    "an open quote": f'a{{b="{SECRET}}} 1 {NOW}\n',
    "a label twice": f'a{{{SECRET}="1",{SECRET}="2"}} 1 {NOW}\n',
    "a type": f"# TYPE a {SECRET}\n",
    "a name in a type": f"# TYPE a-{SECRET} gauge\n",
    "a unit": f"# UNIT a {SECRET}\na 1 {NOW}\n",
    "a comment": f"#{SECRET}\n",
    "too much behind": f"a 1 {NOW} {SECRET}\n",
    "a quoted name": f'{{"{SECRET} x"}} 1 {NOW}\n',
    "a quoted label": f'a{{"{SECRET} x"="1"}} 1 {NOW}\n',
    "a long label": f'a{{b="{SECRET * 500}"}} 1 {NOW}\n',
    "two of one time": f'a{{b="{SECRET}"}} 1 {NOW}\na{{b="{SECRET}"}} 2 {NOW}\n',
    "not UTF-8": f"{SECRET}\udcff 1\n",
    "behind the end": f"a 1 {NOW}\n# EOF\n{SECRET}",
    "no line end": f"a 1 {NOW}\n{SECRET}",
}
EACH_LINE = pytest.mark.parametrize("content", LINES.values(), ids=LINES)
RECORDS: dict[str, tuple[str, str]] = {
    "a config as json": ("x.json", CONFIG),
    "a config as ndjson": ("x.ndjson", CONFIG),
    "a config as csv": ("x.csv", CONFIG),
    "a text": ("x.json", json.dumps(SECRET)),
    "json that breaks off": ("x.json", f'[{{"at": "{SECRET}"'),
    "json with a mistake": ("x.json", f'[{{"at": {SECRET}}}]'),
    "json behind a prefix": ("x.json", f"{SECRET}([{json.dumps(RECORD)}])"),
    "a number that is none": ("x.json", json.dumps([RECORD | {"value": SECRET}])),
    "a number that is a list": ("x.json", json.dumps([RECORD | {"value": [SECRET]}])),
    "a time that is none": ("x.ndjson", json.dumps(RECORD | {"at": SECRET})),
    "a label that is none": ("x.ndjson", json.dumps(RECORD | {"host": {SECRET: SECRET}})),
    "a label that is too long": ("x.ndjson", json.dumps(RECORD | {"host": SECRET * 500})),
    "another header": ("x.csv", f"{SECRET},value\n1,2\n"),
    "two columns alike": ("x.csv", f"at,host,value,{SECRET},{SECRET}\n1,2,3,4,5\n"),
    "a row of another length": ("x.csv", f"at,host,value\n{STAMP},a,1\n{SECRET}\n"),
    "a cell that is no number": ("x.csv", f"at,host,value\n{STAMP},a,{SECRET}\n"),
    "packed and damaged": ("x.json.gz", "GZIP"),
}


def without_secret(detail: str, *words: str) -> None:
    """A message says something, and nothing of the content: no part of the secret either."""
    assert "hunter2" not in detail
    assert "horse" not in detail
    rigs.assert_says(detail, *words)


@EACH_LINE
@pytest.mark.parametrize("format_", ["openmetrics", "prometheus"])
def test_pushed_samples_quote_no_object(
    operator: Operator, format_: str, content: str, capsys: pytest.CaptureFixture[str]
) -> None:
    operator.bucket.put("x.txt", content.encode(errors="surrogateescape"))
    try:
        detail = json.dumps(operator(format=format_, s3="s3://files/x.txt"))
    except BadEvent as error:
        detail = str(error)
    without_secret(detail)
    captured = capsys.readouterr()
    without_secret(captured.out + captured.err)


@pytest.mark.parametrize("format_", ["openmetrics", "prometheus"])
def test_a_line_of_an_object_is_still_found(operator: Operator, format_: str) -> None:
    """Its number and what is wrong with it."""
    operator.bucket.put("x.txt", f"a 1\nb {SECRET}\nc 1 {SECRET}\n# EOF\n".encode())
    detail = operator.refusal(format=format_, s3="s3://files/x.txt")
    without_secret(detail, "s3://files/x.txt, line 2: its value is not a number", "s3://files/x.txt, line 3: it")


OBJECTS = RECORDS | {
    f"{what}.{ending}": (f"x.{ending}", content) for what, content in LINES.items() for ending in ("om", "prom")
}


@pytest.mark.parametrize(("name", "content"), OBJECTS.values(), ids=OBJECTS)
def test_an_object_is_not_quoted(tmp_path: Path, name: str, content: str) -> None:
    """Whatever a function says of a backfill."""
    packed = gzip.compress(SECRET.encode() * 9)[:-6] if content == "GZIP" else content.encode(errors="surrogateescape")
    with rigs.made_with_bucket(tmp_path, amp=True) as (rig, bucket):
        bucket.put(name, packed)
        job = rig.job(rig.metric(), rig.metric(value_regex="([0-9.]+)", name="other"))
        event = {"job": "j", "from": f"s3://spool/{name}"}
        try:
            detail = json.dumps(rig.backfill(event, job, is_local=False))
        except invoke.BadRequest as error:
            detail = str(error)
        without_secret(detail, f"s3://spool/{name}")


@pytest.mark.parametrize(
    "what",
    ["json with a mistake", "a number that is none", "a time that is none", "a label that is none", "another header",
     "two columns alike", "a cell that is no number"],
)  # fmt: skip
def test_records_of_ones_own_file_are_quoted(tmp_path: Path, what: str) -> None:
    """From a shell, of a local file, the words that help stay."""
    name, content = RECORDS[what]
    with rigs.made(tmp_path) as rig:
        assert "hunter2" in json.dumps(rig.read(name, content))


# --- Where objects are read -------------------------------------------------------------------------------------------

AREA = {"PUSHER_BACKFILL_FILES": "arn:aws:s3:::spool/history/", "AWS_LAMBDA_FUNCTION_NAME": "operator"}
OUTSIDE = [
    "s3://spool/config.yaml", "s3://spool/history", "s3://spool/histories/x.om", "s3://other/history/x.om",
    "s3://spool//history/x.om", "s3://spool/", "s3://spool/*", "s3://spool/hist*", "s3://spool-history/x.om",
]  # fmt: skip


@pytest.mark.parametrize("place", OUTSIDE)
@pytest.mark.parametrize("area", [AREA, {"AWS_LAMBDA_FUNCTION_NAME": "operator"}], ids=["one", "none"])
def test_a_function_reads_no_other_object(tmp_path: Path, place: str, area: dict[str, str]) -> None:
    with rigs.made_with_bucket(tmp_path, env_vars=area) as (rig, bucket):
        bucket.put("config.yaml", CONFIG.encode())
        with pytest.raises(invoke.BadRequest) as refused:
            rig.backfill({"from": place, "format": "openmetrics"}, is_local=False)
        rigs.assert_says(str(refused.value), "from", place)
        assert not bucket.counts


@pytest.mark.parametrize("place", ["s3://spool/history/x.om", "s3://spool/history/*", "s3://spool/history/"])
def test_a_function_reads_what_it_may(tmp_path: Path, place: str) -> None:
    with rigs.made_with_bucket(tmp_path, env_vars=AREA) as (rig, bucket):
        bucket.put("history/x.om", f"a 1 {(NOW_MS - DAY) // 1000}\n# EOF\n".encode())
        assert rig.backfill({"from": place}, is_local=False)["samples"] == 1


@pytest.mark.parametrize("place", [one for one in OUTSIDE if not one.endswith(("/", "*"))])
def test_samples_are_pushed_from_no_other_object(operator: Operator, place: str) -> None:
    operator.env_vars |= AREA
    operator.app = operator.new_app()
    detail = operator.refusal(format="prometheus", s3=place)
    rigs.assert_says(detail, "s3", place, "history/", "BackfillPrefix")
    assert not operator.bucket.counts


def test_an_export_goes_where_it_belongs(tmp_path: Path) -> None:
    """Else it could take the place of a spooled request."""
    with rigs.made_with_bucket(tmp_path, env_vars={"PUSHER_SPOOL": "s3://spool"}) as (rig, bucket):
        bucket.put("x.om", f"a 1 {(NOW_MS - DAY) // 1000}\n# EOF\n".encode())
        event = {"from": "s3://spool/x.om", "export": "s3://spool/spool/here/operator/1"}
        with pytest.raises(invoke.BadRequest, match=r"export: .*/operator/1'.*s3://spool/export/"):
            rig.backfill(event, is_local=False)
        rig.backfill(event | {"export": "s3://spool/export/x.om"}, is_local=False)
        assert "export/x.om" in bucket.objects
