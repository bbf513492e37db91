"""The documentation site: its pages can be followed, it builds without a warning, and nothing in it leads nowhere.

A page is followed in a folder of its own. A block with `title="file"` (or, in older pages, one that begins with the
comment `# file`) is written there; the lines of every `sh` block are run in order, and so is the Python of a page. Runs
are cut to two steps. One that would need another model, an engine or a server is planned (`--dry-run`), and so is a
study, and a run of an older page whose folder nobody names. A block with `needs="…"` says so to its reader as well, and
is checked as far as it can be without.
"""

from __future__ import annotations

import importlib
import inspect
import os
import re
import shlex
import shutil
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from functools import cache
from html.parser import HTMLParser
from importlib.metadata import metadata
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

import pytest
import typer.main
from pages import DOCS, FOLLOWED, ROOT, blocks_of, name_of, text_of
from typer.testing import CliRunner

import cli
import mopd_core
from mopd_core import hookspecs, interfaces
from mopd_core.config.compose import PLUGIN_SECTIONS
from mopd_core.config.hook_reference import hook_reference
from mopd_core.config.load import load_config
from mopd_core.config.reference import built_in
from mopd_core.registry import KINDS, installed

OURS = [DOCS / "index.md", *sorted((DOCS / "how-to").glob("*.md"))]
TIMEOUT_S = 240

SHORT = {
    "training.steps": 2,
    "rollout.prompts": 2,
    "rollout.group_size": 4,
    "evaluation.samples": 2,
    "data.held_out": 4,
}
"""What a run that a page asks for is cut to."""

RUN = "needs a run of a model of Hugging Face"
LEFT_OUT = {
    "mopd run --resume --out runs/gsm8k": RUN,
    "mopd run --resume --out runs/gsm8k -o training.steps=200": RUN,
    "mopd run --resume --out runs/mine": RUN,
    "mopd eval gsm8k.yaml --model runs/gsm8k/checkpoints/best --samples 16 --json": RUN,
    "mopd eval my.yaml --model runs/mine/checkpoints/best": RUN,
}
"""Lines of the pages that nobody follows here."""

MADE_ELSEWHERE = {
    "analysis.md": ["second", "contrastive-0", "contrastive-1", "grpo-0", "grpo-1"],
    "report.md": ["first"],
    "study.md": ["study/mopd-contrastive-2s1f-0"],
}
"""Runs that a page reads and does not make: here one run, and copies of it."""

_TITLE = re.compile(r'title="([^"]+)"')
_NEEDS = re.compile(r'needs="([^"]+)"')
_NAMED = re.compile(r"\A# (\S+\.yaml)\n")
_ROWS = re.compile(r'^    (\{"id".*"response".*"reference".*\})$', re.MULTILINE)


def lines_of(script: str) -> Iterator[str]:
    for line in script.replace("\\\n", " ").splitlines():
        if words := shlex.split(line, comments=True):
            yield shlex.join(words) if words[0] in ("mopd", "torchrun") else line


@cache
def plugins() -> Any:
    return built_in()


def expanded(word: str) -> list[str]:
    """What a shell makes of a word with a star."""
    found = sorted(Path().glob(word)) if "*" in word else []
    return list(map(str, found)) or [word]


class Reader:
    """Somebody who does what a page says."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = folder
        self._modules = folder / "installed"
        self._modules.mkdir()
        monkeypatch.chdir(folder)
        monkeypatch.syspath_prepend(self._modules)
        (folder / "recipes").symlink_to(ROOT / "recipes")
        (config,) = (block.body for block in blocks_of(ROOT / "README.md") if block.body.startswith("# my.yaml"))
        (folder / "my.yaml").write_text(config, encoding="utf-8")
        path = [str(Path(sys.executable).parent), os.environ["PATH"]]
        pip = {"TARGET": str(self._modules), "NO_BUILD_ISOLATION": "0", "NO_DEPS": "1", "NO_INDEX": "1", "QUIET": "1"}
        self._environment = {
            **os.environ,
            **{f"PIP_{name}": value for name, value in pip.items()},
            "PATH": os.pathsep.join(path),
            "PYTHONPATH": str(self._modules),
            "OMP_NUM_THREADS": "1",
        }

    def follow(self, page: Path) -> None:
        self._plans = page not in OURS
        for number, name in enumerate(names := MADE_ELSEWHERE.get(page.name, [])):
            if number == 0:
                self._mopd(["run", "--out", f"runs/{name}"])
            else:
                shutil.copytree(f"runs/{names[0]}", f"runs/{name}", symlinks=True)
        rows = _ROWS.findall(text_of(page)) or ['{"response": "Answer: 4", "reference": "4"}']
        (self.folder / "answers.jsonl").write_text("\n".join(rows), encoding="utf-8")
        for block in blocks_of(page):
            file = _TITLE.search(block.info) or (_NAMED.match(block.body) if block.language == "yaml" else None)
            if file:
                (self.folder / file[1]).write_text(block.body, encoding="utf-8")
            elif _NEEDS.search(block.info):
                for line in lines_of(block.body):
                    self._check(line)
            elif block.language == "python":
                short = block.body.replace('options=["training.steps=3"]', f"options={shortened([])[1::2]}")
                exec(compile(short, str(page), "exec"), {"__name__": "documented"})
            elif block.language == "sh":
                for line in lines_of(block.body):
                    self._do(line)

    def _do(self, line: str) -> None:
        words = [each for word in shlex.split(line) for each in expanded(word)]
        if line in LEFT_OUT:
            given(words[1], words[2:])
        elif words[:2] == ["mopd", "serve"]:
            self._check(line)
        elif words[0] == "mopd":
            self._mopd(words[1:])
        else:
            self._shell(" ".join([line, *shortened([])]) if "mopd run" in line else line)
            importlib.invalidate_caches()
            installed.cache_clear()

    def _mopd(self, words: list[str]) -> None:
        if words[0] == "run" and "--resume" not in words and "--dry-run" not in words:
            planned = (self._plans and "--out" not in words) or needs_more(words[1:])
            words = [*words, "--dry-run"] if planned else shortened(words)
        if words[0] == "study" and "--dry-run" not in words:
            words = [*words, "--dry-run", "--out", "planned"]
        done = CliRunner().invoke(cli.app, words)
        assert done.exit_code == 0, f"mopd {shlex.join(words)}\n{done.output}\n{done.exception!r}"
        for last in self.folder.glob("runs/*/checkpoints/last"):
            best = last.with_name("best")  # Two steps need not improve a model; a page's run does.
            if not best.exists():
                best.symlink_to(last.name)

    def _shell(self, line: str) -> None:
        done = subprocess.run(
            ["bash", "-e", "-c", line], env=self._environment, capture_output=True, text=True, timeout=TIMEOUT_S
        )
        assert done.returncode == 0, f"{line}\n{done.stdout}\n{done.stderr}"

    def _check(self, line: str) -> None:
        """What can be said of a line without what it needs."""
        words = shlex.split(line)
        if words[:2] == ["pip", "install"]:
            extras = re.findall(r"mopd\[(\w+)\]", line)
            assert set(extras) <= set(metadata("mopd").get_all("Provides-Extra") or []), line
            return
        command, *arguments = words[words.index("mopd") + 1 :]
        if command == "run":
            self._mopd(["run", *arguments, "--dry-run"])
        else:
            assert command == "serve", f"nothing here knows how to check {line!r}"
            asked = given(command, arguments)
            load_config(path_of(asked), plugins(), choices={"generator": asked["generator"]}, options=asked["option"])


def given(command: str, arguments: list[str]) -> dict[str, Any]:
    """What a command of `mopd` is given by its words."""
    commands: Any = typer.main.get_command(cli.app)
    params: dict[str, Any] = commands.commands[command].make_context("mopd", list(arguments)).params
    return params


def path_of(asked: dict[str, Any]) -> Path | None:
    """The config file. Older versions of typer make a path of it only where the command is called."""
    return Path(asked["config"]) if asked["config"] else None


def shortened(words: list[str]) -> list[str]:
    return [*words, *(part for name, value in SHORT.items() for part in ("-o", f"{name}={value}"))]


def needs_more(arguments: list[str]) -> bool:
    """Whether a run needs another model than the bundled ones, data that are not here, an engine or a server."""
    asked = given("run", arguments)
    kinds = ("generator", "verifier", "selector", "divergence", "teacher", "objective")
    choices = {kind: asked[kind] for kind in kinds if asked[kind]}
    config: Any = load_config(path_of(asked), installed(), choices=choices, options=asked["option"] or ())
    models = {config.model.path, getattr(config.teacher, "path", None) or "bundled"}
    here = {"bundled", "bundled-programs"} | {path for path in models if Path(path).is_dir()}
    data = Path(getattr(config.data, "path", ".") or ".")
    return not models <= here or config.generator.name != "hf" or config.teacher.name == "served" or not data.exists()


@pytest.fixture
def reader(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Reader]:
    installed.cache_clear()
    yield Reader(tmp_path, monkeypatch)
    monkeypatch.undo()
    installed.cache_clear()


@pytest.mark.timeout(900)
@pytest.mark.parametrize("page", FOLLOWED, ids=name_of)
def test_a_page_can_be_followed(page: Path, reader: Reader) -> None:
    reader.follow(page)


def test_lines_that_are_left_out_are_still_there() -> None:
    lines = {
        line
        for page in FOLLOWED
        for block in blocks_of(page)
        if block.language == "sh"
        for line in lines_of(block.body)
    }
    assert set(LEFT_OUT) <= lines


@pytest.mark.parametrize("page", OURS, ids=name_of)
def test_what_a_block_needs_is_said_above_it(page: Path) -> None:
    for block in blocks_of(page):
        if needed := _NEEDS.search(block.info):
            above = text_of(page).partition(f"```{block.language} {block.info}\n{block.body}")[0]
            assert f"Needs {needed[1]}" in above.rstrip().rpartition("\n\n")[2]


def test_the_front_page_names_what_is_built_in() -> None:
    rows = re.findall(r"^\| ([\w ]+) \| (`.+) \| `?([\w-]+)`? \|$", text_of(DOCS / "index.md"), re.MULTILINE)
    defaults = {section.kind: section.default for section in PLUGIN_SECTIONS}
    assert [f"{kind.replace(' ', '')}s" for kind, _, _ in rows] == list(KINDS)
    for (_, built, default), kind in zip(rows, KINDS, strict=True):
        named = set(re.findall(r"`([\w-]+)`", built))
        known = set(plugins()[kind].names())
        assert named <= known if " and " in built or "others" in built else named == known
        assert defaults.get(kind, "none") == default


def test_the_hook_reference_has_every_hook_with_its_arguments_in_order() -> None:
    page = hook_reference()
    hooks = {name: hook for name, hook in vars(hookspecs).items() if name.startswith("mopd_")}
    assert re.findall(r"^## `(.+)`$", page, re.MULTILINE) == [
        f"{name}({', '.join(inspect.signature(hook).parameters)})" for name, hook in hooks.items()
    ]
    for hook in hooks.values():
        assert inspect.getdoc(hook) in page
    assert page.count("`registry.add(name, ConfigType, factory)`") == len(KINDS)


class Page(HTMLParser):
    """What a page of the site links to, loads, and can be linked to at; and how many of each tag its text has."""

    def __init__(self) -> None:
        super().__init__()
        self.links: list[str] = []
        self.loaded: list[str] = []
        self.anchors: set[str] = set()
        self.tags: Counter[str] = Counter()
        self._inside = 0

    @classmethod
    def read(cls, path: Path) -> Page:
        page = cls()
        page.feed(path.read_text(encoding="utf-8"))
        return page

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        self.anchors |= {value for name in ("id", "name") if (value := given.get(name))}
        if tag == "a" and given.get("href"):
            self.links.append(str(given["href"]))
        if tag in ("script", "img", "link", "iframe") and (url := given.get("src") or given.get("href")):
            self.links.append(url)
            if given.get("rel") != "canonical":
                self.loaded.append(url)
        if tag == "article":
            self._inside += 1
        if self._inside:
            self.tags[tag] += 1

    def handle_endtag(self, tag: str) -> None:
        if tag == "article":
            self._inside -= 1


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The site as `make docs` builds it."""
    pytest.importorskip("mkdocs", reason="the site's tools are not installed: pip install .[docs]")
    folder = tmp_path_factory.mktemp("site")
    done = subprocess.run(
        [sys.executable, "-m", "mkdocs", "build", "--strict", "--site-dir", str(folder)],
        cwd=ROOT,
        env={**os.environ, "NO_MKDOCS_2_WARNING": "1"},
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
    )
    assert done.returncode == 0, done.stderr
    assert "WARNING" not in done.stderr
    return folder


@pytest.fixture(scope="module")
def parsed(site: Path) -> dict[Path, Page]:
    return {path: Page.read(path) for path in sorted(site.rglob("*.html")) if path.name != "404.html"}


def test_no_link_inside_the_site_is_dead(parsed: dict[Path, Page]) -> None:
    dead = []
    for path, page in parsed.items():
        for link in page.links:
            parts = urlsplit(link)
            if parts.scheme or parts.netloc:
                continue
            target = (path.parent / unquote(parts.path)).resolve() if parts.path else path
            known = parsed[target].anchors if target in parsed else set()
            if not target.is_file() or (parts.fragment and unquote(parts.fragment) not in known):
                dead.append((path.name, link))
    assert sum(len(page.links) for page in parsed.values()) > 1000
    assert dead == []


def test_nothing_is_loaded_from_elsewhere(parsed: dict[Path, Page]) -> None:
    assert [(path.name, url) for path, page in parsed.items() for url in page.loaded if urlsplit(url).netloc] == []


def test_every_page_shows_what_github_shows(site: Path, parsed: dict[Path, Page]) -> None:
    markdown = pytest.importorskip("markdown_it").MarkdownIt("commonmark").enable("table")
    for source in sorted(DOCS.glob("*.md")):
        wanted = Counter(token.tag for token in markdown.parse(text_of(source)) if token.nesting >= 0 and token.tag)
        found = parsed[site / f"{source.stem}.html"].tags
        assert {tag: found[tag] for tag in ("h2", "h3", "li", "tr")} == {
            tag: wanted[tag] for tag in ("h2", "h3", "li", "tr")
        }, source


def test_the_reference_has_every_public_name(site: Path, parsed: dict[Path, Page]) -> None:
    python = parsed[site / "reference" / "python.html"].anchors
    assert {f"mopd_core.{name}" for name in mopd_core.__all__} <= python
    kinds = {
        name for name, value in vars(interfaces).items() if getattr(value, "__module__", "") == interfaces.__name__
    }
    assert {f"mopd_core.interfaces.{name}" for name in kinds} <= parsed[site / "reference" / "protocols.html"].anchors
    suites = parsed[site / "reference" / "testing.html"].anchors
    assert {f"mopd_core.testing.{kind}.{kind[:-1].capitalize()}Suite" for kind in KINDS} <= suites


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    driver = pytest.importorskip("playwright.sync_api", reason="no browser driver: pip install .[dev]")
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    if program is None:
        pytest.skip("there is no Chromium on this machine: apt-get install chromium")
    with driver.sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=program)
        yield started
        started.close()


@pytest.mark.parametrize("width", [390, 1280])
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_pages_fit_the_window_and_fetch_nothing(site: Path, browser: Any, width: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 900}, color_scheme=scheme)
    fetched: list[str] = []
    context.on("request", lambda request: fetched.append(request.url))
    tab = context.new_page()
    for name in ("index", "config", "comparison", "method", "reference/python", "reference/hooks", "how-to/engines"):
        tab.goto((site / f"{name}.html").as_uri())
        assert tab.evaluate("document.documentElement.scrollWidth <= innerWidth"), name
        assert tab.evaluate("document.body.dataset.mdColorScheme") == {"light": "default", "dark": "slate"}[scheme]
    assert {urlsplit(url).scheme for url in fetched} == {"file"}
    context.close()


def test_the_search_works_from_disk(site: Path, browser: Any) -> None:
    tab = browser.new_page()
    tab.goto((site / "faq.html").as_uri())
    tab.click(".md-search__input")
    tab.keyboard.type("canary")
    tab.wait_for_selector(".md-search-result__link[href*='generators.html']")
    tab.close()


def test_the_figures_are_those_that_the_script_draws(tmp_path: Path) -> None:
    subprocess.run([sys.executable, str(DOCS / "tools" / "figures.py"), str(tmp_path)], check=True, timeout=TIMEOUT_S)
    drawn = sorted(tmp_path.glob("*.svg"))
    assert len(drawn) == 5
    for figure in drawn:
        kept = DOCS / "images" / figure.name
        assert words_of(figure) == words_of(kept), f"run `python docs/tools/figures.py`: {figure.name} has changed"


def words_of(figure: Path) -> list[str]:
    return re.findall(r"<text[^>]*>([^<]*)</text>", figure.read_text(encoding="utf-8"))
