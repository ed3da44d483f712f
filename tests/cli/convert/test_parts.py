"""Parts of conversions that a whole case of the corpus would only blur: for each an input, and what matters of the
result.

`config` has values of the result by their paths, as they are read. `dropped` has the path of each key that was dropped,
with words of the reason, and `lines` its line. `problems` are words of what is left to a person, `says` and
`silent` what stands in the result or not. `keeps` and `drops` are metric names that the first job's rules judge;
`relabels` are label sets with what the rules of its targets make of them, `written` with what those of the last
endpoint make of them. An empty text is none.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import pytest
import yaml

from lambda_remote_write import relabel
from lambda_remote_write_cli.convert import Options, convert
from tests.rig.convert_corpus import TESTDATA, loaded, plain

FILES = {path.stem: yaml.load(path.read_text(), yaml.CBaseLoader) for path in (TESTDATA / "convert-parts").iterdir()}
KEYS = {
    "input", "kind", "targets", "config", "dropped", "lines", "problems", "says", "silent", "keeps", "drops",
    "relabels", "written",
}  # fmt: skip
PARTS = {
    f"{stem}: {name}": {"kind": "", **part, "input": cases.get("base", "") + part["input"]}
    for stem, cases in FILES.items()
    for name, part in cases.items()
    if name != "base"
}


@pytest.mark.parametrize("part", PARTS.values(), ids=PARTS)
def test_part(part: dict[str, Any]) -> None:
    assert set(part) <= KEYS, "a key that is not looked at"
    targets = (part["targets"], "prometheus.yml") if "targets" in part else None
    found = convert(part["input"], "input.yaml", Options(part["kind"], targets=targets))
    config, text = plain(found), " ".join(found.config.split())
    assert {path: value_at(config, path) for path in part.get("config", {})} == part.get("config", {})
    problems = part.get("problems", [])
    assert len(found.problems) == len(problems), found.problems
    assert [words for words, one in zip(problems, found.problems, strict=True) if words not in str(one)] == []
    if "dropped" in part:
        dropped = [pair for row in part["dropped"] for pair in row.items()]
        assert [one.path for one in found.dropped] == [path for path, _ in dropped]
        assert [why for (_, why), one in zip(dropped, found.dropped, strict=True) if why not in one.why] == []
    if "lines" in part:
        assert [str(one.line) for one in found.dropped] == part["lines"]
    assert part.get("says", "") in text
    assert "silent" not in part or part["silent"] not in text
    if problems and not {"keeps", "relabels", "written"} & set(part):
        return  # what is left to a person need not load
    result = loaded(found)
    if names := [*part.get("keeps", []), *part.get("drops", [])]:
        rules = result.scrape_jobs[0].metric_relabel
        assert [name for name in names if relabelled({"__name__": name}, rules)] == part["keeps"]
    for labels, expected in part.get("relabels", []):
        assert relabelled(labels, result.scrape_jobs[0].relabel, expected) == (expected or None), labels
    for labels, expected in part.get("written", []):
        assert relabelled(labels, result.endpoints[-1].write_relabel, expected) == (expected or None), labels


def value_at(config: Any, path: str) -> Any:
    """What stands at `a.0.b`, or an empty text."""
    for key in path.split("."):
        config = config[int(key)] if key.isdecimal() else config.get(key, "")
    return config


def relabelled(labels: dict[str, str], rules: Any, names: Iterable[str] = ("__name__",)) -> dict[str, str] | None:
    """What the rules make of these labels."""
    found = relabel.explain(labels, rules).labels
    return None if found is None else {name: found.get(name, "") for name in names}
