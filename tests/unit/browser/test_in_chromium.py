"""The page in a real browser: it loads, it is played by keys and fingers, and says no error."""

import threading
import time

import numpy as np
import pytest
from small_agents import ROOT

import chromium
from world_models.agent import Agent
from world_models.browser import game
from world_models.browser.page import page as make
from world_models.browser.page import write
from world_models.browser.serve import server

PROGRAM = chromium.browser()
pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(PROGRAM is None, reason=f"needs one of {', '.join(chromium.NAMES)}"),
    pytest.mark.xdist_group("chromium"),
]
FRAMES = np.random.default_rng(2).integers(0, 256, (20, 64, 64, 3), np.uint8)
CLIP = game.Clip(game.sheet(FRAMES), len(FRAMES), 17.5)
PICTURE = "document.getElementById('dream').toDataURL()"


@pytest.fixture(scope="module")
def pages():
    """The released agents' pages, by environment."""
    found = {}
    for name, ends in (("takecover", "drawn"), ("carracing", "threshold")):
        agent = Agent.load(ROOT / "released" / name, environment=name)
        found[name] = make(agent, ends, CLIP)
    return found


@pytest.fixture
def tab():
    with chromium.page(PROGRAM) as opened:
        yield opened
        assert opened.faults == []
        schemes = ("http://127.0.0.1:", "file:", "blob:", "data:", "about:")
        assert all(address.startswith(schemes) for address in opened.requests)


@pytest.fixture
def played(pages, tab, request):
    """A page that is served, and dreams."""
    width, phone = getattr(request, "param", (1280, False))
    tab.size(width, 1400, phone=phone)

    def play(environment):
        serving = server(pages[environment], 0)
        thread = threading.Thread(target=serving.serve_forever)
        thread.start()
        request.addfinalizer(lambda: (serving.shutdown(), thread.join(), serving.server_close()))
        tab.open(f"http://127.0.0.1:{serving.server_port}/")
        tab.wait("Number(document.getElementById('steps')?.textContent) > 3")
        return tab

    return play


def text(tab, name: str) -> str:
    return tab.value(f"document.getElementById({name!r}).textContent")


def pressed(tab, name: str) -> bool:
    return tab.value(f"document.getElementById({name!r}).ariaPressed === 'true'")


def box(tab, selector: str) -> list[float]:
    """Left, top, width, height of an element, scrolled into view."""
    return tab.value(
        f"(() => {{ const e = document.querySelector({selector!r});"
        "e.scrollIntoView({block: 'center'}); const r = e.getBoundingClientRect();"
        "return [r.left, r.top, r.width, r.height]; })()"
    )


def stopped(tab) -> str:
    """The number of steps, once it stands still: a busy machine takes a while to pause."""
    steps = ""
    while steps != text(tab, "steps"):
        steps = text(tab, "steps")
        time.sleep(0.5)
    return steps


def test_take_cover_is_played_by_keys_until_its_end(played):
    tab = played("takecover")
    assert pressed(tab, "c")
    tab.key("ArrowLeft", 0.4)
    assert pressed(tab, "you")
    assert not pressed(tab, "c")
    for key in "c", " ":
        before = pressed(tab, "c")
        tab.key(key)
        assert pressed(tab, "c") is not before
    tab.value("(pace.value = '0', pace.dispatchEvent(new Event('change')))")
    tab.wait("!document.getElementById('veil').hidden", 180)
    said = text(tab, "veil-text")
    assert said.endswith(f"after {text(tab, 'steps')} steps.")
    assert int(text(tab, "best").replace(",", "")) > 3
    tab.key("r")
    tab.wait("document.getElementById('veil').hidden")


def test_a_bar_of_z_that_is_dragged_changes_the_picture(played):
    tab = played("takecover")
    tab.key("p")
    steps, before = stopped(tab), tab.value(PICTURE)
    left, top, width, height = box(tab, "#z")
    x = left + width * 20.5 / 64
    tab.mouse("mousePressed", x, top + height / 2)
    tab.mouse("mouseMoved", x, top + height / 8)
    tab.wait("document.getElementById('z-text').textContent === 'z21 = 3.00'")
    assert tab.value(PICTURE) != before
    tab.mouse("mouseReleased", x, top + height / 8)
    assert text(tab, "steps") == steps  # it stands still
    tab.key("p")
    tab.wait(f"document.getElementById('steps').textContent !== {steps!r}")


def test_settings_have_keys_of_their_own(played):
    tab = played("takecover")
    tab.value("tau.focus()")
    tab.key("ArrowRight")
    tab.wait("document.getElementById('tau-text').textContent === '1.05'")
    assert pressed(tab, "c")  # the key was the slider's
    tab.value("document.getElementById('z').focus()")
    for key in ("ArrowRight", "ArrowRight", "ArrowUp"):
        tab.key(key)
    assert text(tab, "z-text").startswith("z3 = ")
    assert pressed(tab, "c")


def test_car_racing_has_pedals_and_no_end(played):
    tab = played("carracing")
    labels = tab.value("[...document.querySelectorAll('#pad span')].map((e) => e.textContent)")
    assert labels == ["steer left", "steer right", "gas", "brake"]
    assert tab.value("document.getElementById('ends-choice').hidden")
    assert tab.value("document.getElementById('risk-readout').hidden")
    tab.key("ArrowUp", 0.6)
    assert pressed(tab, "you")
    tab.value("(pace.value = '0', pace.dispatchEvent(new Event('change')))")
    tab.wait("Number(steps.textContent.replace(',', '')) > 1100", 180)  # the game ends at 1,000
    assert tab.value("document.getElementById('veil').hidden")


@pytest.mark.parametrize("played", [(390, True)], indirect=True)
def test_a_phone_has_it_all_in_its_width(played):
    tab = played("carracing")
    assert tab.value("document.documentElement.scrollWidth") == 390
    left, top, width, height = box(tab, "#pad button:last-child")
    assert height >= 44  # a finger's width
    button = "document.querySelector('#pad button:last-child')"
    brake = f"Number({button}.style.getPropertyValue('--done'))"
    tab.touch("touchStart", (left + width / 2, top + height / 2))
    tab.wait("document.getElementById('you').ariaPressed === 'true'")
    tab.wait(f"{brake} > 0.5")
    tab.touch("touchEnd")
    tab.wait(f"{brake} < 0.5")


def test_it_opens_from_the_disk(pages, tab, tmp_path):
    write(tmp_path, pages["carracing"])
    tab.open((tmp_path / "index.html").as_uri())
    tab.wait("Number(document.getElementById('steps')?.textContent) > 3")
    assert text(tab, "made-of") == ""  # the kernel runs there too
    game_picture = "document.getElementById('game').toDataURL()"
    tab.wait(f"{game_picture} !== {tab.value(game_picture)!r}")
