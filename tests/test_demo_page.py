"""The page of `run.py demo` in a browser: upload, answer, mistake, batch. Needs Chromium."""

import json
import os
import shutil
import socket
import subprocess
import sys
import time
import zipfile
from pathlib import Path

import pandas as pd
import pytest
import requests
from selenium import webdriver
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.support.ui import WebDriverWait

from tests.snail_runs import ASKED, fixture_specimens, fixture_trained  # noqa: F401 (fixtures)

ROOT = Path(__file__).resolve().parents[1]
PHONE = {"width": 390, "height": 844, "deviceScaleFactor": 1, "mobile": True}

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which("chromium") and shutil.which("chromedriver")),
        reason="needs Chromium and its driver: apt-get install chromium chromium-driver",
    ),
]


@pytest.fixture(scope="module")
def address(trained, tmp_path_factory):
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    log = tmp_path_factory.mktemp("log") / "demo.log"
    command = [sys.executable, "run.py", "demo", str(trained.folder), "--port", str(port)]
    with (
        log.open("w") as stream,
        subprocess.Popen(command, cwd=ROOT, stdout=stream, stderr=stream) as process,
    ):
        place = f"http://127.0.0.1:{port}/"
        try:
            for _ in range(240):
                if process.poll() is not None:
                    pytest.fail(log.read_text())
                try:
                    requests.get(place, timeout=1)
                    break
                except requests.RequestException:
                    time.sleep(0.5)
            yield place
        finally:
            process.terminate()


@pytest.fixture
def browser(address, tmp_path):
    options = webdriver.ChromeOptions()
    for word in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage"):
        options.add_argument(word)
    options.add_experimental_option("prefs", {"download.default_directory": str(tmp_path)})
    options.set_capability("goog:loggingPrefs", {"performance": "ALL"})
    service = webdriver.ChromeService(shutil.which("chromedriver"))
    with webdriver.Chrome(options, service) as found:
        found.set_window_size(1200, 1600)
        found.get(address)
        yield found
        if "MENAGERIE_SHOTS" in os.environ:
            found.save_screenshot(f"{os.environ['MENAGERIE_SHOTS']}/{time.time():.0f}.png")


def given(browser, name, *paths):
    box = wait(browser, lambda: browser.find_element(By.CSS_SELECTOR, f"#{name} input[type=file]"))
    box.send_keys("\n".join(map(str, paths)))
    for path in paths:
        wait(browser, lambda path=path: path.stem in text(browser, name))


def typed(browser, cells):
    """Measurements, typed cell by cell into the table."""
    for number, cell in enumerate(cells):
        name = f"#measurements [role=gridcell][data-row='0'][data-col='{number}']"
        place = wait(browser, lambda name=name: browser.find_element(By.CSS_SELECTOR, name))
        keys = webdriver.ActionChains(browser).double_click(place).pause(0.2)
        keys.send_keys(cell).pause(0.2).send_keys(Keys.ENTER).perform()
        wait(browser, lambda place=place, cell=cell: cell in place.text)


def text(browser, name):
    return browser.find_element(By.ID, name).text


def wait(browser, found):
    return WebDriverWait(browser, 90, ignored_exceptions=[Exception]).until(lambda _: found())


def complaint(browser):
    shown = wait(browser, lambda: browser.find_element(By.CSS_SELECTOR, ".toast-body"))
    return " ".join(shown.text.split())


def hosts(browser):
    messages = [json.loads(entry["message"])["message"] for entry in browser.get_log("performance")]
    return {
        message["params"]["request"]["url"].split("/")[2]
        for message in messages
        if message["method"] == "Network.requestWillBeSent"
        and message["params"]["request"]["url"].startswith("http")
    }


def test_a_specimen_is_answered_with_its_reasons(browser, address, specimens):
    cells = (specimens / "specimens.csv").read_text().splitlines()[1].split(",")
    given(browser, "image", specimens / cells[0])
    typed(browser, cells[1:])
    browser.find_element(By.ID, "answer").click()
    wait(browser, lambda: "were right" in text(browser, "said"))
    assert "No measurements were given" not in text(browser, "said")
    assert "%" in text(browser, "classes")
    image = wait(browser, lambda: browser.find_element(By.CSS_SELECTOR, "#why img"))
    wait(browser, lambda: int(image.get_property("naturalHeight")) > 1000)
    assert f"0\n{cells[0].removesuffix('.png')}" in text(browser, "nearest")
    assert hosts(browser) == {address.split("/")[2]}


def test_one_without_measurements_is_answered_and_that_is_said(browser, specimens):
    given(browser, "image", next(specimens.glob("*.png")))
    browser.find_element(By.ID, "answer").click()
    wait(browser, lambda: "No measurements were given" in text(browser, "said"))


def test_a_hostile_file_is_one_line_without_a_place(browser, tmp_path):
    path = tmp_path / "hostile.png"
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + b"<script>alert(1)</script>")
    given(browser, "image", path)
    browser.find_element(By.ID, "answer").click()
    said = complaint(browser)
    assert "hostile.png: is" in said
    assert "/" not in said.replace("error/", "")


def test_a_batch_is_answered_and_downloaded(browser, specimens, tmp_path):
    pack = tmp_path / "pack.zip"
    with zipfile.ZipFile(pack, "w") as file:
        for path in specimens.iterdir():
            file.write(path, path.name)
    wait(
        browser, lambda: browser.find_element(By.XPATH, "//button[@role='tab' and .='Many']")
    ).click()
    given(browser, "batch", pack)
    browser.find_element(By.ID, "answer-all").click()
    wait(browser, lambda: f"{ASKED} answers" in text(browser, "said-of-all"))
    wait(browser, lambda: browser.find_element(By.ID, "download")).click()
    (path,) = wait(browser, lambda: list(tmp_path.glob("answers-*.csv")))
    table = pd.read_csv(path)
    assert len(table) == ASKED and table["nearest_1_distance"].max() < 1e-4


def test_the_page_fits_a_telephone(browser):
    browser.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", PHONE)
    wait(browser, lambda: browser.find_element(By.ID, "answer"))
    widths = "return [document.documentElement.scrollWidth, window.innerWidth]"
    assert wait(browser, lambda: browser.execute_script(widths) == [390, 390])


@pytest.mark.parametrize("path", ["/etc/hostname", str(ROOT / "setup.cfg"), "../../setup.cfg"])
def test_no_other_file_of_the_machine_is_served(address, path):
    for route in ("gradio_api/file=", "file="):
        found = requests.get(f"{address}{route}{path}", timeout=10)
        assert found.status_code in (403, 404), found.text[:200]
        assert "menagerie" not in found.text
