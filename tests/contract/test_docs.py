"""The documentation says what is so: settings, messages, links."""

import re
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
CODE = "\n".join(p.read_text(encoding="utf-8") for p in sorted((ROOT / "src").rglob("*.py")))
ADVICE = {
    "Running stage again, although nothing changed",
    "A bad value, and the outputs are gone",
    "An interrupted stage has lost its outputs",
}
"""Headings that are no messages."""


def test_every_execution_setting_is_in_the_table():
    listed = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
    used = set(re.findall(r"WORLD_MODELS_[A-Z]+|MLFLOW_(?:TRACKING_URI|EXPERIMENT_NAME)", CODE))
    assert used == {
        name for name in re.findall(r"`((?:WORLD_MODELS|MLFLOW)_[A-Z_]+)`", listed) if name in used
    }
    ours = set(re.findall(r"`(WORLD_MODELS_[A-Z_]+)`", listed))
    assert ours == {name for name in used if name.startswith("WORLD_MODELS")}


def test_troubleshooting_quotes_real_messages():
    text = (ROOT / "docs/troubleshooting.md").read_text(encoding="utf-8")
    said = re.sub(r'"\s*\n\s*f?"', "", CODE)  # messages are written over several lines
    for heading in re.findall(r"^### (.*)$", text, re.M):
        assert heading in ADVICE or heading in said, heading


def test_the_site_builds_without_a_warning(tmp_path):
    command = [sys.executable, "-m", "mkdocs", "build", "--strict", "--quiet", "--site-dir"]
    done = subprocess.run(
        [*command, str(tmp_path)], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr[-3000:]
    pages = {p.relative_to(tmp_path).as_posix() for p in tmp_path.rglob("*.html")}
    docs = ROOT / "docs"
    sources = {p.relative_to(docs).with_suffix(".html").as_posix() for p in docs.rglob("*.md")}
    assert sources <= pages
    for environment in ("carracing", "takecover"):
        assert f'src="play/{environment}/index.html"' in (tmp_path / "browser.html").read_text()
        assert (tmp_path / "play" / environment / "index.html").stat().st_size > 1e6
    for page in tmp_path.rglob("*.html"):  # all works offline
        text = page.read_text(encoding="utf-8")
        assert re.findall(r'src="?(https?:[^"\s>]+)', text) == [], page
        assert re.findall(r'<link[^>]*href="(https?:[^"]+\.(?:css|woff2?))"', text) == [], page


def test_every_page_is_linked_from_the_readme_or_the_home_page():
    readme, home = (
        (ROOT / name).read_text(encoding="utf-8") for name in ("README.md", "docs/index.md")
    )
    linked = {*re.findall(r"docs/([\w-]+\.md)", readme), *re.findall(r"\]\(([\w-]+\.md)\)", home)}
    assert {page.name for page in ROOT.glob("docs/*.md")} - {"index.md"} <= linked
