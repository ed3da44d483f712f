"""What the /probe jobs of a prometheus.yml have json_exporter ask, by module. A static target that stands alone, or
whose URL no relabel rule takes apart, is a probe of its own; all others of a job are one together.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from lambda_remote_write import relabel
from lambda_remote_write.config import relabel_configs
from lambda_remote_write.config.yaml_reader import Diagnostics, Section, compose

from . import prometheus
from .go_template import Template
from .jsonpath import Untranslatable
from .render import render
from .tree import Entry, Map

PARAM = "__param_"
MODULE, TARGET = f"{PARAM}module", f"{PARAM}target"
DEFAULT_MODULE = "default"  # what json_exporter takes when it is asked for none
_PLAIN = re.compile(r"https?://[^/?#@%]+(?:/[\w$&+,/:;=@.~-]*)?(?:\?(?P<query>[^#]*))?", re.ASCII)
"""A URL that rules can take apart without loss: they decode nothing, and labels hold each parameter once."""
_PARAMETERS = re.compile(r"[^=&;%+]+=[^&;%+]+(?:&[^=&;%+]+=[^&;%+]+)*")


@dataclass(frozen=True, slots=True)
class Asked:
    """A URL that a static target has json_exporter ask. `labels` are the target's after relabelling, `place` is where
    the target stands."""

    url: str
    module: str
    labels: Mapping[str, str]
    place: str

    @property
    def parameters(self) -> int | None:
        """How many query parameters the URL has; None when rules cannot take it apart."""
        match = _PLAIN.fullmatch(self.url)
        query = match["query"] if match else ""
        if not match or (query and not _PARAMETERS.fullmatch(query)):
            return None
        names = [pair.partition("=")[0] for pair in query.split("&")] if query else []
        return len(names) if len(set(names)) == len(names) else None


@dataclass(frozen=True, slots=True)
class Probe:
    """What becomes one JSON job: with `one` a single URL, else the targets of `job`. `listed` are those known now,
    `elsewhere` the places of those that became jobs of their own."""

    job: Entry
    module: str
    one: Asked | None = None
    listed: tuple[Asked, ...] = ()
    elsewhere: frozenset[str] = frozenset()
    varies: bool = False
    """True when the job asks with other modules too."""

    @property
    def name(self) -> str:
        return self.job.map.text("job_name")

    def parameter(self, name: str) -> tuple[str, ...]:
        """The values of a parameter of the request to json_exporter; where it is another for each target, our template
        for the label that has it. Raises Untranslatable when only the target knows."""
        label = f"{PARAM}{name}"
        _, *more = self.job.map.map("params").texts(name) or [""]
        asked = [self.one] if self.one else [*self.listed]
        values = {one.labels.get(label) for one in asked} if asked else {self._of_all(label, name)}
        if len(values) == 1:
            (value,) = values
            return () if value is None else (value, *more)
        names = [key for key in asked[0].labels if not key.startswith("__")]
        same = next((key for key in names if all(one.labels.get(key) == one.labels.get(label) for one in asked)), None)
        if same is None:
            raise Untranslatable(f"targets have different values of {name}, and no label with it")
        return (Template(f"{{label.{same}}}"), *more)

    def _of_all(self, label: str, name: str) -> str | None:
        """What `params` say, for targets that are not known before they are asked."""
        written = [rule.text("target_label") for rule in self.job.map.maps("relabel_configs")]
        written += [pair.key for group in self.job.map.maps("static_configs") for pair in group.map("labels").pairs()]
        if label in written:
            raise Untranslatable(f"only discovery knows {name}")
        return next(iter(self.job.map.map("params").texts(name)), None)


class ProbeJobs:
    """The jobs of a prometheus.yml that ask json_exporter. Their rules are read once for all modules."""

    def __init__(self, top: Map) -> None:
        found = [job for job in prometheus.jobs_of(top) if job.map.text("metrics_path") == "/probe"]
        self._jobs = [(job, _asked(job.map)) for job in found]

    def of(self, module: str) -> Iterator[Probe]:
        """How they use a module."""
        for job, asked in self._jobs:
            yield from _found(job, module) if asked is None else _static(job, module, asked)


def _found(job: Entry, module: str) -> Iterator[Probe]:
    """A job whose targets only discovery knows."""
    varies = any(MODULE in rule.text("target_label") for rule in job.map.maps("relabel_configs")) or any(
        group.map("labels").get(MODULE) for group in job.map.maps("static_configs")
    )
    if varies or (parameter(job.map, "module") or DEFAULT_MODULE) == module:
        yield Probe(job, module, varies=varies)


def _static(job: Entry, module: str, asked: list[Asked]) -> Iterator[Probe]:
    mine = [one for one in asked if one.module == module]
    listed = [one for one in mine if one.parameters is not None]
    if len(listed) > 1:
        places = {one.place for one in mine} - {one.place for one in listed}
        varies = any(one.module != module for one in asked)
        yield Probe(job, module, listed=tuple(listed), elsewhere=frozenset(places), varies=varies)
        mine = [one for one in mine if one.place in places]
    yield from (Probe(job, module, one) for one in mine)


def _asked(block: Map) -> list[Asked] | None:
    """What the static targets of a job have json_exporter ask. None when it has others, or a rule that is none."""
    if any(entry.key.endswith("_sd_configs") for entry in block.pairs()):
        return None
    rules = _parsed(block.get("relabel_configs"))
    if rules is None:
        return None
    settings = {"job": block.text("job_name")}
    settings |= {f"{PARAM}{entry.key}": parameter(block, entry.key) for entry in block.map("params").pairs()}
    if block.get("static_configs") is None and (url := settings.get(TARGET)):  # Prometheus would ask nothing
        return [Asked(url, settings.get(MODULE) or DEFAULT_MODULE, settings, "")]
    found = []
    for group in block.maps("static_configs"):
        shared = settings | {label.key: label.text for label in group.map("labels").pairs()}
        for target in group.items("targets"):
            labels = relabel.relabel({**shared, "__address__": target.text}, rules)
            if labels and (url := labels.get(TARGET)):
                found.append(Asked(url, labels.get(MODULE, DEFAULT_MODULE), labels, target.path))
    return found


def _parsed(written: Entry | None) -> tuple[relabel.Rule, ...] | None:
    """The rules as the engine reads them; None when one of them is wrong."""
    if written is None:
        return ()
    diagnostics = Diagnostics("")
    section = Section(compose(render(Map([written])), ""), "", diagnostics)  # type: ignore[arg-type]  # it is a map
    rules = relabel_configs.read(section, written.key)
    return None if diagnostics.problems else rules


def parameter(block: Map, name: str) -> str:
    """The first value of one of the `params` of a job; "" when it has none."""
    return next(iter(block.map("params").texts(name)), "")
