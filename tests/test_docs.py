"""What README and docs say is what the code does: figures, keys, reasons, commands."""

from __future__ import annotations

import re
import subprocess
import tomllib
from dataclasses import fields
from pathlib import Path

import pytest

from bench import cost
from generate.config_keys import load
from lambda_remote_write.config.load import parse_config
from lambda_remote_write.model.delivery import Delivery, Waiting
from tests.rig.stack import load_template

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()
CONFIG_DOC = (ROOT / "docs" / "config.md").read_text()
OPERATIONS = (ROOT / "docs" / "operations.md").read_text()
FUNCTIONS = "\n".join(
    path.read_text()
    for path in (ROOT / "functions" / "lambda_remote_write").rglob("*.py")
    if "generated" not in path.parts
)


def test_the_cost_table_is_the_printed_one() -> None:
    assert cost.table() in (ROOT / "docs" / "cost.md").read_text()


def test_every_price_that_a_page_names_is_printed() -> None:
    printed = set(re.findall(r"\d+\.\d\d", cost.table()))
    named = {price for path in PRICED for price in re.findall(r"\$(\d+\.\d\d)", path.read_text())}
    assert len(named) >= 5
    assert sorted(named - printed) == []
    (seconds,) = re.findall(r"before the host is cheaper \| (\d+) \|", cost.table())
    assert f"more than {seconds} seconds" in README


MOST_LINES = 80


def test_the_readme_is_short_and_begins_with_what_to_do() -> None:
    """What it is, the picture, `init`, `plan` and `deploy`, cost, where it loses, links."""
    assert len(README.splitlines()) <= MOST_LINES
    assert list(re.findall(r"^## (.*)$", README, re.M)) == [
        "From an API to series", "What it costs", "Where it loses", "More",
    ]  # fmt: skip
    (steps,) = re.findall(r"```bash\n(.*?)```", README, re.S)
    assert [line.split()[:2] for line in steps.splitlines()] == [
        ["export", "AWS_REGION=eu-west-1"],
        ["pipx", "install"], ["pusher", "init"], ["pusher", "plan"], ["make", "deploy"],
    ]  # fmt: skip


def test_the_packaged_config_loads_and_so_does_what_it_holds_ready() -> None:
    """The example that is commented out, without its comment marks."""
    text = (ROOT / "functions" / "lambda_remote_write" / "config.yaml").read_text()
    before, _, ready = text.partition("# scrape_configs:\n")
    shown = before + "scrape_configs:\n" + re.sub(r"^# ", "", ready, flags=re.M)
    env_vars = {"AWS_REGION": "eu-west-1", "PUSHER_WORKSPACE": "ws-0123"}
    for config, jobs in ((text, ["custom_exporter"]), (shown, ["custom_exporter", "node"])):
        loaded = parse_config(config, "config.yaml", env_vars)
        assert (loaded.job_names(), loaded.warnings) == (jobs, ())


@pytest.mark.parametrize("section", load())
def test_every_key_is_documented(section: str) -> None:
    """In a table or in prose, by itself or as in `spool.mode`; or by a heading."""
    text = re.sub(r"^```.*?^```", "", re.sub(r"^#+ (\w+)", r"`\1`", CONFIG_DOC, flags=re.M), flags=re.M | re.S)
    known = {word for _, span in re.findall(r"(`+)(.+?)\1", text) for word in re.findall(r"[a-z_0-9]+", span)}
    assert sorted({key for row in load()[section].rows for key in row.keys} - known) == []


PRICED = [ROOT / "README.md", *ROOT.glob("docs/guides/*.md"), ROOT / "docs" / "faq.md"]
PAGES = sorted(
    path
    for path in [
        *ROOT.glob("*.md"),
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("examples/**/*.md"),
        ROOT / "proto/README.md",
    ]
    if path.is_file()
)


def page_name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def anchors(text: str) -> set[str]:
    """What GitHub makes of the headings: lower case, no punctuation, spaces become hyphens."""
    titles = re.findall(r"^#+ (.*)$", re.sub(r"^```.*?^```", "", text, flags=re.M | re.S), re.M)
    return {re.sub(r"[^\w\- ]", "", title.lower()).replace(" ", "-") for title in titles}


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_no_line_is_too_long(path: Path) -> None:
    """120 characters, in prose and examples. A row of a table cannot be wrapped."""
    lines = enumerate(path.read_text().splitlines(), 1)
    assert [number for number, line in lines if len(line) > 120 and not line.startswith("|")] == []


@pytest.mark.parametrize("path", PAGES, ids=page_name)
def test_every_link_leads_somewhere(path: Path) -> None:
    missing = []
    for link in re.findall(r"\]\(([^)\s]+)\)", path.read_text()):
        place, _, anchor = link.partition("#")
        target = path.parent / place if place else path
        if ":" in link or place.startswith("../../security"):  # GitHub's own page
            continue
        if not target.exists() or (anchor and anchor not in anchors(target.read_text())):
            missing.append(link)
    assert missing == []


def test_the_index_lists_every_page_of_the_documentation() -> None:
    index = ROOT / "docs" / "README.md"
    assert "(docs/README.md)" in README
    pages = {*ROOT.glob("docs/*.md"), *ROOT.glob("docs/guides/*.md"), ROOT / "docs/runbooks/README.md"} - {index}
    linked = set(re.findall(r"\]\(([^)#]+)\)", index.read_text()))
    assert sorted(page_name(page) for page in pages if page.relative_to(index.parent).as_posix() not in linked) == []


def test_the_index_lists_every_command() -> None:
    """That each of them exists is seen in tests/docs/test_blocks.py."""
    source = (ROOT / "cli" / "lambda_remote_write_cli" / "main.py").read_text()
    names = re.findall(r'^    "(\w+)": "', source.partition("_MODULES = {")[2].partition("}")[0], re.M)
    listed = re.findall(r"^\| `pusher (\w+)` \|", (ROOT / "docs" / "README.md").read_text(), re.M)
    assert len(names) >= 8
    assert sorted(set(names) - set(listed)) == []


ARCHITECTURE = (ROOT / "docs" / "architecture.md").read_text()
FOLDERS = sorted({"cli", "functions", "rules", "tests"} | {path.parent.name for path in ROOT.glob("*/__init__.py")})


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_folder_is_described(folder: str) -> None:
    find_your_way = (ROOT / "CONTRIBUTING.md").read_text().partition("\n## Find your way\n")[2].partition("\n## ")[0]
    folders = ARCHITECTURE.partition("\n## Folders\n")[2].partition("\n## ")[0]
    assert f"`{folder}/" in find_your_way
    assert f"`{folder}/" in folders


MOST_NAMES = 12


def test_every_path_that_the_architecture_names_exists() -> None:
    spans = re.findall(r"`([\w./]+)`", ARCHITECTURE)
    named = {name for name in spans if "/" in name or re.search(r"\.\w+$", name)}
    assert len(named) > 40
    places = (ROOT / "functions" / "lambda_remote_write", ROOT)
    assert sorted(name for name in named if not any((place / name).exists() for place in places)) == []


def test_the_architecture_shows_the_layers_that_the_linter_checks() -> None:
    """A line of the tree for each layer, in the order in which imports go."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (layers,) = [contract["layers"] for contract in contracts if contract["type"] == "layers"]
    lines = ARCHITECTURE.partition("\n## Folders\n")[2].partition("```text\n")[2].partition("```")[0].splitlines()
    shown = [set(re.findall(r"(?:^|  )(\w+)(?:\.py|/)(?=  |$)", line)) for line in lines]
    assert shown == [set(layer.split(" : ")) for layer in layers]


def test_the_walk_names_few_classes() -> None:
    """The notions that a reader of one push meets, each once, in bold."""
    walk = ARCHITECTURE.partition("\n## The walk of one push\n")[2].partition("\n## ")[0]
    names = re.findall(r"\*\*(.+?)\*\*", walk)
    print(f"the walk names {len(names)} notions: {', '.join(names)}")
    classes = set(re.findall(r"^class (\w+)", FUNCTIONS, re.M))
    assert names
    assert [name for name in names if name not in classes] == []
    assert len(names) == len(set(names)) <= MOST_NAMES


def test_every_key_of_the_report_is_explained() -> None:
    source = (ROOT / "functions" / "lambda_remote_write" / "report" / "report.py").read_text()
    keys = set(re.findall(r'"(\w+)": ', source))
    keys |= {one.name for kind in (Delivery, Waiting) for one in fields(kind)} - {"dead"}  # which stays within the run
    section = OPERATIONS.partition("\n## The report\n")[2].partition("\n## ")[0]
    assert {"ok", "jobs_down", "mapped", "dead_lettered", "LostSamples", "example"} <= keys
    explained = set(re.findall(r"\w+", " ".join(re.findall(r"`([^`]+)`", section))))
    assert sorted(keys - explained) == []


@pytest.mark.parametrize("command", sorted(set(re.findall(r"^make (\w+)|`make (\w+)", README + OPERATIONS, re.M))))
def test_every_make_command_exists(command: tuple[str, str]) -> None:
    target = command[0] or command[1]
    makefile = (ROOT / "Makefile").read_text()
    assert re.search(rf"^{target}:", makefile, re.M), target


def test_every_parameter_and_output_that_is_named_exists() -> None:
    template = load_template()
    named = re.findall(r"`([A-Z][a-z0-9]+(?:[A-Z][a-z]+)+)`", README + OPERATIONS + CONFIG_DOC)
    known = {"Content", "Retry"} | set(template["Parameters"]) | set(template["Outputs"])
    dependencies = {"PusherFunction", "OperatorFunction"}
    unknown = set(named) - known - dependencies
    assert sorted(name for name in unknown if f'"{name}"' not in FUNCTIONS) == []  # metrics have such names too


def test_every_message_that_is_explained_is_one_of_ours() -> None:
    """The table of what unreachable looks like, against the code: a step of an exchange is put in as it runs."""
    table = OPERATIONS.partition("### What unreachable looks like")[2].partition("\n#")[0]
    messages = re.findall(r"^\| `([^`]+)`", table, re.M)
    steps = {"connecting", "waiting for the answer", "reading the body"}
    assert len(messages) > 10
    assert all(f'"{step}"' in FUNCTIONS for step in steps)
    for message in messages:
        fixed = message.partition(" (")[0]
        for step in steps:
            fixed = fixed.replace(f"while {step}", "while {step}")
        assert fixed in FUNCTIONS, message


@pytest.mark.slow
def test_generated_modules_are_what_the_protos_say(tmp_path: Path) -> None:
    """`make proto` leaves no diff."""
    places = {"GENERATED": Path("remote_write/encode/generated"), "GENERATED_PAGE": Path("exposition/generated")}
    for place in places.values():
        (tmp_path / place).mkdir(parents=True)
    names = [f"{name}={tmp_path / place}" for name, place in places.items()]
    result = subprocess.run(["make", "proto", *names], cwd=ROOT, capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stdout + result.stderr
    made = [path.relative_to(tmp_path) for path in tmp_path.rglob("*_pb2.py*")]
    assert len(made) == 8
    for path in made:
        assert (tmp_path / path).read_text() == (ROOT / "functions" / "lambda_remote_write" / path).read_text(), path


def test_no_document_installs_from_where_nothing_is_published() -> None:
    """Until it is there, a name on PyPI belongs to the first who takes it. Folders and files of a wheel are fine."""
    by_name = re.compile(
        r"(?:pipx?|uv(?: tool)?|uvx) (?:install|run) [^\n`]*\b(?:lambda-remote-write|pusher)(?![\w./-])"
    )
    pages = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "examples").rglob("*.md")]
    assert len(pages) > 15
    assert {page.name: found for page in pages if (found := by_name.findall(page.read_text()))} == {}
    for bad in (
        "pip install lambda-remote-write",
        "pipx install --force pusher",
        "uv tool install lambda-remote-write",
    ):
        assert by_name.search(bad)
    for good in (
        "pipx install .",
        "pipx install lambda_remote_write-0.1.0-py3-none-any.whl",
        "pip install ./pusher.whl",
    ):
        assert not by_name.search(good)
