"""Asks what only the user knows. Enter takes what stands in brackets; nothing is taken that was not shown."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lambda_remote_write.report.printable import printable

from ..terminal import say
from .names import counter_name
from .proposals import Group, Metric, Proposal, Stamp
from .times import shown_age
from .tree import shown_value

_FRESH_SECONDS = (-600, 3_300)  # AMP takes samples that are at most an hour old
_HELP = (
    "c counter · g gauge · l leave it open, as a comment · x leave the metric out · a take what is shown for all others"
)


class Left(Exception):
    """The user has ended the questions; nothing is written."""


@dataclass(slots=True)
class Questions:
    """`read` gives a line for a prompt; it raises EOFError and KeyboardInterrupt."""

    read: Callable[[str], str]
    now_ms: int
    takes_rest: bool = False

    def ask(self, proposal: Proposal) -> None:
        """Answers every question of the proposal. Raises Left."""
        say("")
        say("Enter takes what stands in brackets. The answers for a metric:")
        say(_HELP)
        try:
            for group in proposal.groups:
                self._group(group)
        except (EOFError, KeyboardInterrupt):
            raise Left from None
        proposal.groups = [group for group in proposal.groups if group.metrics]

    def _group(self, group: Group) -> None:
        where = " → ".join(group.records) or "the document"
        say("")
        say(f"{where}: {group.count} record{'' if group.count == 1 else 's'}")
        for note in group.notes:
            say(f"  {note}")
        self._labels(group)
        if group.stamp:
            self._stamp(group.stamp)
        kept = [metric for metric in group.metrics if self._metric(metric)]
        group.metrics = kept

    def _labels(self, group: Group) -> None:
        if not group.labels or self.takes_rest:
            return
        names = ", ".join(name if name == path else f"{name} = {path}" for name, path in group.labels.items())
        answer = self._answer(f"  labels {names}. Enter keeps them, or write the names to leave out: ")
        for name in answer.replace(",", " ").split():
            if group.labels.pop(name, None) is None:
                say(f"  {name}: no such label")
            group.state_labels.pop(name, None)

    def _stamp(self, stamp: Stamp) -> None:
        age = (self.now_ms - stamp.time.newest_ms) / 1000
        is_fresh = _FRESH_SECONDS[0] <= age <= _FRESH_SECONDS[1]
        default = "Y/n" if is_fresh and stamp.is_likely else "y/N"
        old = "" if is_fresh else ", too old or too far ahead for AMP"
        what = f"{stamp.path} as {stamp.time.format} is {shown_age(age)}{old}"
        if not self._yes(f"  {what}: the time of these values? [{default}] ", is_default=default == "Y/n"):
            return
        stamp.format = stamp.time.format
        if not stamp.time.has_zone:
            stamp.timezone = self._zone()

    def _zone(self) -> str:
        from lambda_remote_write.config.timestamp import parse_zone

        while True:
            name = self._answer("  it names no time zone: which one is it in? [UTC] ") or "UTC"
            try:
                parse_zone(name)
            except ValueError as error:
                say(f"  {error}")
            else:
                return name

    def _metric(self, metric: Metric) -> bool:
        """Whether the metric stays."""
        if metric.suggested_type == "stateset":
            return True
        for note in metric.notes:
            say(f"    {note}")
        if not self._type(metric):
            return False
        unit = metric.suggested_unit
        if unit and self._yes(f"    its unit is {unit}? [Y/n] ", is_default=True):
            metric.unit = unit
        return True

    def _type(self, metric: Metric) -> bool:
        shown = f"  {metric.name} = {shown_value(metric.sample)[:40]}"
        while not self.takes_rest:
            answer = self._answer(f"{shown}: counter or gauge? [{metric.suggested_type}] ").lower()
            if answer == "x":
                return False
            if answer == "l":
                return True
            if answer == "a":
                self.takes_rest = True
            kind = {"c": "counter", "g": "gauge", "": metric.suggested_type, "a": metric.suggested_type}.get(answer[:1])
            if kind and (answer in ("", "a") or kind.startswith(answer)):
                self._set(metric, kind)
                return True
            say(f"    {_HELP}")
        self._set(metric, metric.suggested_type)
        return True

    def _set(self, metric: Metric, kind: str) -> None:
        metric.type = kind
        if kind == "counter" and not metric.name.endswith("_total"):
            metric.name = counter_name(metric.name)
            say(f"    {metric.name}: a counter's name ends in _total")

    def _yes(self, prompt: str, *, is_default: bool) -> bool:
        if self.takes_rest:
            return is_default
        while True:
            answer = self._answer(prompt).lower()
            if answer in ("", "y", "yes", "n", "no"):
                return is_default if not answer else answer.startswith("y")
            say("    y or n")

    def _answer(self, prompt: str) -> str:
        return self.read(printable(prompt)).strip()
