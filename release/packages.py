"""Installed packages, as their METADATA describes them."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from importlib.metadata import Distribution, distribution, distributions
from pathlib import Path

from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

_TROVE = "License :: "


@dataclass(frozen=True, slots=True, order=True)
class Package:
    """`licences` are what the package says of itself, as it says it."""

    name: str
    version: str
    licences: tuple[str, ...]


def packages_in(folder: Path) -> list[Package]:
    """What is installed in a folder, by name."""
    return sorted(_package(one) for one in distributions(path=[str(folder)]))


def needed_by(wheel: Path) -> list[Package]:
    """What a wheel needs in this environment, and what that needs, by name. All of it is installed here."""
    found = dict[str, Distribution]()
    (described,) = distributions(path=[str(wheel)])
    waiting = list(_requirements(described))
    while waiting:
        key = canonicalize_name(waiting.pop().name)
        if key not in found:
            found[key] = distribution(key)
            waiting.extend(_requirements(found[key]))
    return sorted(map(_package, found.values()))


def _requirements(one: Distribution) -> Iterator[Requirement]:
    for text in one.requires or ():
        requirement = Requirement(text)
        if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
            yield requirement


def _package(one: Distribution) -> Package:
    licences = tuple(dict.fromkeys(_licences(one)))
    return Package(canonicalize_name(one.metadata["Name"]), one.version, licences)


def _licences(one: Distribution) -> Iterable[str]:
    """The SPDX expression where there is one; else the field License, unless it has a whole text, and classifiers."""
    metadata = one.metadata.json
    if expression := metadata.get("license_expression"):
        return [str(expression)]
    field = str(metadata.get("license", "")).strip()
    classifiers = metadata.get("classifier", [])
    named = [text.rpartition(" :: ")[2] for text in classifiers if text.startswith(_TROVE)]
    return [*([field] if field and "\n" not in field else []), *named]
