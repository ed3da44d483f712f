"""The command: checks, builds twice, compares, signs, dates the changelog, commits and tags."""

from __future__ import annotations

import argparse
import re
import sys
import tempfile
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

from . import Refused, changelog, signature
from .build import SUMS, TARGETS, Release, Target, build
from .repository import Repository

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True, slots=True)
class Options:
    """`today` is the date of a release that has none yet."""

    root: Path
    signing_key: Path | None
    dry_run: bool
    today: date
    targets: tuple[Target, ...] = TARGETS

    @property
    def folder(self) -> Path:
        return self.root / "build" / "release"


def release(options: Options) -> str:
    """Does it all. Returns what to do next. Raises Refused, and then nothing is committed or tagged."""
    repository = Repository(options.root)
    version = version_of(options.root)
    log = options.root / "CHANGELOG.md"
    day = _checked(repository, options, version, log.read_text())
    signers = options.root / "release" / "allowed_signers"
    if options.signing_key:
        signature.check(options.signing_key, signers)
    _build_twice(repository, Release(version, _epoch(day), options.targets), options.folder)
    if options.signing_key:
        signature.sign(options.folder / SUMS, options.signing_key)
        signature.verify(options.folder / SUMS, signers)
    if options.dry_run:
        return f"{options.folder} has what {version} would be. Nothing was committed or tagged."
    commit_and_tag(repository, log, version, day)
    return f"{options.folder} has {version}. Look at it, then: git push origin HEAD v{version}"


def commit_and_tag(repository: Repository, log: Path, version: str, day: date) -> None:
    """Commits the dated changelog and tags the commit. Raises Refused, and then both are as they were."""
    before = log.read_text()
    log.write_text(changelog.released(before, version, day))
    try:
        repository.commit(f"Release {version}", log.name)
    except Refused:
        log.write_text(before)
        raise
    try:
        repository.tag(f"v{version}", f"lambda-remote-write {version}")
    except Refused:
        repository.undo_commit()
        raise


def version_of(root: Path) -> str:
    """What `__version__` says in the checkout. Raises Refused unless the template says the same."""
    code = (root / "functions/lambda_remote_write/__init__.py").read_text()
    (version,) = re.findall(r'^__version__ = "(.+)"$', code, re.MULTILINE)
    told = re.findall(r"^    SemanticVersion: (\S+)$", (root / "template.yaml").read_text(), re.MULTILINE)
    if told != [version]:
        raise Refused(f"template.yaml has SemanticVersion {told}, and __version__ is {version}: make them equal")
    return str(version)


def _checked(repository: Repository, options: Options, version: str, log: str) -> date:
    """The date of the release. A tag that is checked out can be built again, to compare: it has its date."""
    if changed := repository.changed():
        raise Refused(f"there are changes that are not committed, as {changed[0]}: commit them or take them back")
    if not options.dry_run and options.signing_key is None:
        raise Refused("SIGNING_KEY must name the key that signs the checksums; DRY_RUN=1 builds without one")
    tag = f"v{version}"
    if repository.has_tag(tag):
        day = changelog.date_of(log, version)
        if options.dry_run and day and repository.is_head(tag):
            return day
        raise Refused(f"the tag {tag} exists: raise __version__ in functions/lambda_remote_write/__init__.py")
    if changelog.date_of(log, version):
        raise Refused(f"CHANGELOG.md has {version} already: raise __version__, or move its entries to Unreleased")
    if not changelog.entries(log):
        raise Refused("CHANGELOG.md has no entries under Unreleased: say what the release changes")
    return options.today


def _epoch(day: date) -> int:
    """The midnight at which that day begins: the changelog says it, so that the tag can be built again."""
    return int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp())


def _build_twice(repository: Repository, what: Release, folder: Path) -> None:
    build(repository, what, folder)
    with tempfile.TemporaryDirectory() as again:
        build(repository, what, Path(again) / "release")
        first, second = ((one / SUMS).read_text().splitlines() for one in (folder, Path(again) / "release"))
    if differing := sorted({line.split()[1] for line in {*first} ^ {*second}}):
        raise Refused(f"two builds of one commit differ: {', '.join(differing)}")


def main() -> str | None:
    parser = argparse.ArgumentParser(prog="make release", description=__doc__)
    parser.add_argument("--signing-key", type=Path, default=None)
    parser.add_argument("--dry-run", action="store_true")
    given = parser.parse_args()
    options = Options(ROOT, given.signing_key, given.dry_run, datetime.now(UTC).date())
    try:
        print(release(options))
    except Refused as refused:
        return f"no release: {refused}"
    return None


if __name__ == "__main__":
    sys.exit(main())
