"""Serves the project's pages as their commands do, and opens them in the system's Chromium."""

import contextlib
import os
import pathlib
import shutil
import signal
import time

import commands
import pytest

CHROMIUM = next(
    filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), ""
)
SECONDS = 90
PICTURES = "VISION_BANANA_SCREENSHOTS"  # names a folder that keeps what the pages looked like


def needed():
    """Skips, with the reason, where pages cannot be tested."""
    pytest.importorskip("gradio", reason="gradio is not installed: the extra `demo` has it")
    pytest.importorskip("playwright", reason="playwright is not installed: the extra `dev` has it")
    if not CHROMIUM:
        pytest.skip("there is no Chromium: apt-get install chromium")


@contextlib.contextmanager
def browser():
    """A headless Chromium."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as driver:
        opened = driver.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox"])
        yield opened
        opened.close()


class Served:
    """A command that serves a page, started in a folder that is not the project's.

    Attributes:
      address: where it is.
      process: the command's.
      log: what it has printed.
    """

    def __init__(self, arguments, folder, **environment):
        self.log = folder / "log"
        self.log.unlink(missing_ok=True)
        environment = commands.environment(TMPDIR=str(folder), **environment)
        self.process = commands.start(arguments, self.log, env=environment, cwd=folder)
        until = time.monotonic() + SECONDS
        while "open http" not in (text := self.log.read_text()):
            assert self.process.poll() is None and time.monotonic() < until, text
            time.sleep(0.1)
        self.address = text.split("open ")[1].split()[0].rstrip("/")

    def end(self, told=signal.SIGINT):
        """Ctrl-C, or another signal; returns the exit code."""
        self.process.send_signal(told)
        try:
            return self.process.wait(30)
        finally:
            self.kill()

    def kill(self):
        """As a crash does."""
        if self.process.poll() is None:
            self.process.kill()
            self.process.wait()


class Opened:
    """A page in a browser, which notes every complaint and every address that it asks for.

    Attributes:
      page: playwright's.
      complaints: errors in the console.
      elsewhere: addresses asked for that are not the server's.
    """

    def __init__(self, browser, served, folder):
        self._folder = pathlib.Path(os.environ.get(PICTURES) or folder)
        self.complaints, self.elsewhere = [], []
        self.page = browser.new_page(viewport={"width": 1360, "height": 1000})
        self.page.set_default_timeout(SECONDS * 1000)
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(str(error)))
        self.page.on("request", lambda request: self._request(request.url, served.address))
        self.page.goto(served.address)

    def _console(self, message):
        if message.type == "error":
            self.complaints.append(message.text)

    def _request(self, url, address):
        if not url.startswith((address, "data:", "blob:")):
            self.elsewhere.append(url)

    def shoot(self, name):
        """Takes a picture of the whole page."""
        self._folder.mkdir(parents=True, exist_ok=True)
        self.page.screenshot(path=self._folder / f"{name}.png", full_page=True)


def free_port():
    """A port that nobody listens at."""
    return commands.together(1)[0][0].rpartition(":")[2]


def module(name):
    """How a command is started."""
    return ["-m", f"vision_banana.{name}"]
