"""The demo in a real browser: every task, every refusal, and what it keeps to itself."""

import http.client
import http.server
import json
import pathlib
import shutil
import signal
import struct
import threading
import urllib.error
import urllib.request
import zlib

import nano_run
import numpy as np
import pages
import pytest
from PIL import Image

from vision_banana.evaluation import photographs
from vision_banana.web.answering import PRESETS

PHOTOS = sorted(photographs.FOLDER.glob("*.jpg"))
FILES = {"Depth": 6, "Normals": 4, "Classes": 5, "Instances": 5, "Regions": 5, "Edit": 4, "Draw": 4}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    pages.needed()
    return tmp_path_factory.mktemp("demo")


@pytest.fixture(scope="module")
def browser(folder):
    with pages.browser() as opened:
        yield opened


@pytest.fixture(scope="module")
def served(folder):
    nano_run.write(folder / "nano")
    arguments = [*pages.module("demo"), "--checkpoint", folder / "nano", "--port",
                 pages.free_port(), "--max_megabytes", "0.5"]  # fmt: skip
    # What the environment says of gradio must open nothing.
    served = pages.Served(arguments, folder, GRADIO_ALLOWED_PATHS="/", GRADIO_SHARE="True",
                          GRADIO_SERVER_NAME="0.0.0.0")  # fmt: skip
    yield served
    served.kill()


@pytest.fixture
def opened(browser, served, tmp_path):
    opened = pages.Opened(browser, served, tmp_path)
    yield opened
    assert opened.elsewhere == []
    opened.page.close()


def ask(page):
    """Presses the button and waits for an answer; returns its words."""
    with page.expect_request(lambda request: "queue/join" in request.url):
        page.click("#ask")
    page.wait_for_selector("#said [data-testid=status-tracker].hide", state="attached")
    return page.inner_text("#said")


def expect_picture(page, name, size):
    """Waits until a field shows a picture of that width and height, or is gone for None."""
    if size is None:
        page.wait_for_selector(f"#{name}", state="hidden")
    else:
        page.wait_for_function(
            "([name, width, height]) => { const image = document.querySelector(`#${name} img`);"
            " return image && image.naturalWidth === width && image.naturalHeight === height; }",
            arg=[name, *size],
        )


def choose(page, label):
    """Picks a task and waits until the server has filled in its prompt, which undoes typing."""
    page.get_by_label(label, exact=True).check()
    page.wait_for_function(
        "text => document.querySelector('#prompt textarea').value === text",
        arg=PRESETS[label].prompt,
    )


def upload(page, path):
    """Puts a file into the picture's field."""
    page.set_input_files("#picture input[type=file]", path)


def refusal(opened):
    """The words of the newest notice, which is then closed."""
    page = opened.page
    page.wait_for_selector("[data-testid=toast-body]")
    page.wait_for_timeout(300)  # it fades in
    opened.shoot("demo_refused")
    said = page.locator("[data-testid=toast-body]").last.inner_text()
    for close in page.locator("[data-testid=toast-close]").all():
        close.click()
    page.wait_for_selector("[data-testid=toast-body]", state="detached")
    return said


def test_every_task_is_clicked_through(opened, tmp_path):
    page = opened.page
    page.wait_for_selector("#ask")
    opened.shoot("demo_start")
    levels = np.random.default_rng(0).integers(0, 256, (30, 50, 3), np.uint8)
    Image.fromarray(levels).save(tmp_path / "mine.png")
    upload(page, tmp_path / "mine.png")
    page.wait_for_selector("#picture img[src*='mine.png']")
    for label, preset in PRESETS.items():
        choose(page, label)
        assert page.is_visible("#picture") == preset.looks
        said = ask(page)
        is_picture = label in ("Edit", "Draw")
        assert ("picture is the answer" in said) == is_picture
        assert ("confidence" in said) == (not is_picture)
        size = (50, 30) if preset.looks else (nano_run.SIZE, nano_run.SIZE)
        expect_picture(page, "drawn", size)
        for name in ("decoded", "overlay", "confidence"):
            expect_picture(page, name, None if is_picture else size)
        assert page.is_visible("#legend .legend") == (label in ("Depth", "Classes", "Regions"))
        assert page.is_visible("#space iframe") == (label == "Depth")
        assert page.locator("#files a[download]").count() == FILES[label]
        opened.shoot(f"demo_{preset.task}")
    choose(page, "Depth")  # where the picture is still there
    page.wait_for_selector("#picture img[src*='mine.png']")
    assert opened.complaints == []


def test_a_photograph_is_chosen(opened):
    page = opened.page
    choose(page, "Normals")
    page.locator("#photos img").nth(1).click()
    page.wait_for_selector(f"#picture img[src*='{PHOTOS[1].name}']")
    ask(page)
    with Image.open(PHOTOS[1]) as photo:
        expect_picture(page, "drawn", photo.size)
    opened.shoot("demo_photograph")
    assert opened.complaints == []


def test_depth_turns_and_is_downloaded(opened, tmp_path):
    page = opened.page
    page.get_by_label("Depth", exact=True).check()
    ask(page)
    frame = page.frame_locator("#space iframe")
    canvas = frame.locator("#cloud")
    canvas.scroll_into_view_if_needed()
    assert "60 degrees" in frame.locator("#cloud-note").inner_text()
    canvas.click()  # which ends its swaying
    page.wait_for_timeout(200)
    before = canvas.screenshot()
    page.wait_for_timeout(300)
    assert canvas.screenshot() == before
    box = canvas.bounding_box()
    page.mouse.move(box["x"] + 50, box["y"] + 50)
    page.mouse.down()
    page.mouse.move(box["x"] + 250, box["y"] + 90)
    page.mouse.up()
    page.wait_for_timeout(300)
    opened.shoot("demo_turned")
    assert canvas.screenshot() != before
    link = page.locator("#files a[download='depth.npz']").get_attribute("href")
    response = page.request.get(link)
    assert "attachment" in response.headers["content-disposition"]
    (tmp_path / "depth.npz").write_bytes(response.body())
    with np.load(tmp_path / "depth.npz") as arrays:
        assert arrays["depth_m"].ndim == 2 and str(arrays["task"]) == "depth"


def bomb():
    """A PNG of few bytes that says that it has 144 million pixels."""
    pixels = struct.pack(">IIBBBBB", 12_000, 12_000, 1, 0, 0, 0, 0)
    parts = ((b"IHDR", pixels), (b"IDAT", zlib.compress(bytes(1000))), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(data)) + name + data + struct.pack(">I", zlib.crc32(name + data))
        for name, data in parts
    )


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (bytes(600_000), "exceed the maximum allowed size of 512.0 Kb"),
        (b"<script>alert(1)</script>", "cannot be read as a picture"),
        (bomb(), "144000000 pixels, more than the limit of 25000000"),
    ],
    ids=["large", "text", "bomb"],
)
@pytest.mark.parametrize("before", ["at once", "a task", "a photograph"])
def test_an_upload_that_is_no_picture_is_refused_in_a_sentence(
    opened, tmp_path, content, says, before
):
    page = opened.page
    page.wait_for_selector("#ask")
    if before == "a task":
        choose(page, "Draw")
        choose(page, "Normals")
    if before == "a photograph":
        page.locator("#photos img").nth(1).click()
        page.wait_for_selector(f"#picture img[src*='{PHOTOS[1].name}']")
    (tmp_path / "mine.png").write_bytes(content)
    upload(page, tmp_path / "mine.png")
    if len(content) < 500_000:
        page.wait_for_selector("#picture img[src*='mine.png']", state="attached")
        page.click("#ask")
    said = refusal(opened)
    assert says in " ".join(said.split()), said


def test_other_mistakes_are_sentences(opened):
    page = opened.page
    choose(page, "Classes")
    page.fill("#prompt textarea", "cube: rod, <b>cone</b>: blue")
    page.click("#ask")
    assert "rod" in refusal(opened)
    choose(page, "Depth")
    page.click("#picture [aria-label='Remove Image']")
    page.click("#ask")
    assert "choose one first" in refusal(opened)


def get(served, path, **headers):
    """Status and headers of what the server says."""
    host, _, port = served.address.removeprefix("http://").partition(":")
    connection = http.client.HTTPConnection(host, int(port), timeout=10)
    connection.request("GET", path, headers=headers)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status, dict(response.getheaders())


def test_no_other_file_is_served(served, folder):
    root = pathlib.Path(pages.__file__).parents[2]
    for path in (
        "/etc/passwd",
        root / "pyproject.toml",
        folder / "log",
        folder / "nano/config.json",
    ):
        assert get(served, f"/gradio_api/file={path}")[0] in (403, 404), path
    status, headers = get(served, "/")
    assert status == 200
    assert headers["content-security-policy"].startswith("default-src 'self' data: blob:")
    assert headers["x-content-type-options"] == "nosniff"


def test_another_name_for_this_machine_is_turned_away(served):
    assert get(served, "/", Host="somewhere.example")[0] == 400
    assert get(served, "/config", Host="localhost")[0] == 200


def test_a_picture_elsewhere_is_not_fetched(served):
    asked = []

    class Elsewhere(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            asked.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET

        def log_message(self, *said):
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Elsewhere) as other:
        threading.Thread(target=other.serve_forever, daemon=True).start()
        picture = {
            "path": f"http://127.0.0.1:{other.server_address[1]}/a.png",
            "meta": {"_type": "gradio.FileData"},
        }
        for session in ("at_once", "after_a_task", "after_a_photograph"):
            if session == "after_a_task":
                said = call(served, ["Normals"], session, outputs=4)
                assert json.loads(said.splitlines()[-1][6:])["success"], said
            if session == "after_a_photograph":
                said = call(served, [1], session, outputs=1)
                assert json.loads(said.splitlines()[-1][6:])["success"], said
            said = call(served, ["Depth", picture, "depth", 1, 1, 1, 0], session)
            assert "not fetched" in said and asked == [], session
        said = call(served, ["Draw", None, picture, 1, 1, 1, 0], "in_another_field")
        assert "not fetched" in said and asked == []
        other.shutdown()


@pytest.mark.parametrize("more", [{}, {"meta": {"_type": "gradio.FileData"}}])
def test_a_picture_that_was_not_uploaded_is_not_read(served, folder, more):
    private = folder / "private.png"
    Image.new("RGB", (8, 8)).save(private)
    up = next(folder.glob("vision_banana_*/gradio")) / ".." / ".." / private.name
    for path in (private, up):
        said = call(served, ["Depth", {"path": str(path), **more}, "depth", 1, 1, 1, 0])
        assert not json.loads(said.splitlines()[-1][6:])["success"], said
        assert more or "not uploaded" in said


def test_an_upload_that_is_gone_is_chosen_again(served, folder):
    gone = next(folder.glob("vision_banana_*/gradio")) / "gone.png"
    picture = {"path": str(gone), "meta": {"_type": "gradio.FileData"}}
    said = call(served, ["Depth", picture, "depth", 1, 1, 1, 0])
    assert "The picture is no longer here: choose it again" in said


def test_what_the_disk_refuses_is_a_sentence_without_a_path(served, folder):
    answers = next(folder.glob("vision_banana_*/answers"))
    shutil.rmtree(answers)
    said = call(served, ["Draw", None, "a red cube", 1, 1, 1, 0])
    answers.mkdir()
    assert "No such file or directory" in said and str(answers) not in said


def call(served, data, session="x", outputs=8):
    """What the server answers to a form that no page has sent, from a session of that name."""
    with urllib.request.urlopen(f"{served.address}/config", timeout=10) as response:
        dependencies = json.load(response)["dependencies"]
    number = next(d["id"] for d in dependencies
                  if (len(d["inputs"]), len(d["outputs"])) == (len(data), outputs))  # fmt: skip
    body = {"data": data, "fn_index": number, "session_hash": session, "trigger_id": None}
    request = urllib.request.Request(
        f"{served.address}/gradio_api/queue/join", json.dumps(body).encode(),
        {"content-type": "application/json"},
    )  # fmt: skip
    try:
        urllib.request.urlopen(request, timeout=10).close()
        stream = f"{served.address}/gradio_api/queue/data?session_hash={session}"
        said = []
        with urllib.request.urlopen(stream, timeout=20) as response:
            for line in response:
                said.append(line.decode())
                if "process_completed" in said[-1]:
                    break
        return "".join(said)
    except urllib.error.HTTPError as error:
        return error.read().decode()


@pytest.mark.parametrize("told", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_it_and_nothing_is_left(told, folder, tmp_path_factory):
    place = tmp_path_factory.mktemp("ended")
    arguments = [*pages.module("demo"), "--checkpoint", nano_run.write(place / "nano"),
                 "--port", pages.free_port()]  # fmt: skip
    served = pages.Served(arguments, place)
    assert list(place.glob("vision_banana_*"))
    assert served.end(told) == 0
    assert not list(place.glob("vision_banana_*"))
    assert (place / "nano" / "config.json").exists()
    assert "Traceback" not in served.log.read_text()
