"""The licences of what is shipped. A package under another one than those below makes no release."""

from __future__ import annotations

import re
from collections.abc import Iterable

from . import Refused
from .packages import Package

# The names that METADATA has for a licence, and its SPDX identifier. None of them asks anything of those who deploy
# but to keep the text, which is in the artefact. MPL-2.0 asks for the source of changed files, and none are changed.
ALLOWED = {
    "Apache-2.0": "Apache-2.0",
    "Apache License 2.0": "Apache-2.0",
    "Apache Software License": "Apache-2.0",
    "BSD-2-Clause": "BSD-2-Clause",
    "BSD-3-Clause": "BSD-3-Clause",
    "3-Clause BSD License": "BSD-3-Clause",
    "BSD": "BSD-3-Clause",
    "BSD License": "BSD-3-Clause",
    "ISC": "ISC",
    "MIT": "MIT",
    "MIT License": "MIT",
    "MIT No Attribution License (MIT-0)": "MIT-0",
    "MPL-2.0": "MPL-2.0",
    "Mozilla Public License 2.0 (MPL 2.0)": "MPL-2.0",
    "PSF-2.0": "PSF-2.0",
}
# What says nothing by itself: the package names its licences beside it.
_SAYS_NOTHING = {"Dual License"}


def spdx(package: Package) -> str:
    """The licences as an SPDX expression. Raises Refused."""
    named = [_known(package, text) for text in package.licences if text not in _SAYS_NOTHING]
    if not named:
        raise Refused(f"{package.name} {package.version} names no licence: look it up, or do without the package")
    return " OR ".join(dict.fromkeys(named))


def _known(package: Package, text: str) -> str:
    words = re.split(r"( AND | OR )", text)
    for word in words[::2]:
        if word not in ALLOWED:
            allowed = ", ".join(sorted(set(ALLOWED.values())))
            raise Refused(
                f"{package.name} {package.version} is under {word!r}, which release/licences.py does not have. "
                f"It has {allowed}: add it there if it may be shipped, or do without the package"
            )
    return "".join(ALLOWED.get(word, word) for word in words)


def report(shipped: Iterable[Package], needed: Iterable[Package]) -> str:
    """A page of what the artefacts contain and what the wheel needs. Raises Refused."""
    return (
        "# Licences\n\nlambda-remote-write is under Apache-2.0.\n\n## In the zip files of the functions\n\n"
        f"{_table(shipped)}\n## What pip installs with the wheel\n\n{_table(needed)}"
    )


def _table(packages: Iterable[Package]) -> str:
    rows = [f"| {one.name} | {one.version} | {spdx(one)} |\n" for one in packages]
    return "".join(["| package | version | licence |\n", "|---|---|---|\n", *rows])
