"""What the server refuses before gradio hears of it, and which signals it follows."""

import json
import signal
import threading
import urllib.error
import urllib.request

import pytest

from vision_banana.web import server
from vision_banana.web.limits import Limits


@pytest.fixture
def client():
    pytest.importorskip("gradio", reason="gradio is not installed: the extra `demo` has it")
    from starlette.responses import PlainTextResponse
    from starlette.testclient import TestClient

    return TestClient(server.Policy(PlainTextResponse("passed on")))


@pytest.mark.parametrize(
    "path",
    [
        "file=https://any.host/x",
        "file=http://any.host/x",
        "file/https://any.host/x",
        "FILE=HTTPS://any.host/x",
        "%66ile%3Dhttps%3A%2F%2Fany.host/x",
        "proxy=https://any.hf.space/x",
        "proxy%3Dhttps://any.hf.space/x",
    ],
)
def test_addresses_to_fetch_are_refused(client, path):
    for ask in (client.get, client.head):
        response = ask(f"/gradio_api/{path}")
        assert response.status_code == 403
        assert response.headers["content-security-policy"] == server.POLICY
        assert "passed on" not in response.text


@pytest.mark.parametrize(
    "path", ["", "gradio_api/file=/tmp/http.png", "gradio_api/queue/data?x=file=http://any.host"]
)
def test_everything_else_is_passed_on(client, path):
    response = client.get(f"/{path}")
    assert (response.status_code, response.text) == (200, "passed on")


def test_who_finds_the_queue_full_is_turned_away(tmp_path, monkeypatch):
    gradio = pytest.importorskip("gradio", reason="the extra `demo` is not installed")
    monkeypatch.setenv("GRADIO_TEMP_DIR", str(tmp_path))
    begun, finish = threading.Event(), threading.Event()

    def answer():
        begun.set()
        finish.wait(60)

    with gradio.Blocks(analytics_enabled=False) as page:
        gradio.Button().click(answer)
    address = server.start(page, Limits(waiting=1))

    def join(name):
        body = json.dumps({"data": [], "fn_index": 0, "session_hash": name}).encode()
        request = urllib.request.Request(
            f"{address}gradio_api/queue/join", body, {"content-type": "application/json"}
        )
        urllib.request.urlopen(request, timeout=30).close()

    try:
        join("answered")
        assert begun.wait(60)
        join("waiting")
        with pytest.raises(urllib.error.HTTPError, match="503"):
            join("turned away")
    finally:
        finish.set()
        page.close(verbose=False)


def test_under_nohup_it_outlives_its_terminal(monkeypatch):
    before = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGHUP)}
    monkeypatch.setattr(server, "start", lambda *given: 1 / 0)
    try:
        signal.signal(signal.SIGHUP, signal.SIG_IGN)
        with pytest.raises(ZeroDivisionError):
            server.serve(None, Limits())
        assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        assert signal.getsignal(signal.SIGTERM) is not before[signal.SIGTERM]
    finally:
        for number, action in before.items():
            signal.signal(number, action)
