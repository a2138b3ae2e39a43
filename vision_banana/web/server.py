"""Serves a page to this machine alone: nothing is fetched, sent home, or read beside its folder."""

import contextlib
import os
import pathlib
import re
import signal
import tempfile
import threading
from collections.abc import Iterator
from typing import Any

from vision_banana.web.limits import Limits

HOST = "127.0.0.1"
EXTRA = "pip install 'vision-banana[demo]'"
# The browser itself is told to ask nobody else, whatever a page holds.
POLICY = (
    "default-src 'self' data: blob: 'unsafe-inline' 'unsafe-eval'; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
# Where gradio fetches an address that a visitor writes, by its old name and its new one.
FETCHES = re.compile(r"/gradio_api/(file[=/]http|proxy=)", re.IGNORECASE)


@contextlib.contextmanager
def own_folder() -> Iterator[str]:
    """A folder that goes when its user goes, and gradio, told to keep to it and to itself.

    What the environment says of gradio is put aside, for it could open other folders and
    addresses; the rest of the process belongs to the page.

    Raises:
      ImportError: gradio is not installed; says how to.
    """
    with tempfile.TemporaryDirectory(prefix="vision_banana_", ignore_cleanup_errors=True) as folder:
        for name in [name for name in os.environ if name.startswith("GRADIO_")]:
            del os.environ[name]
        os.environ |= {
            "GRADIO_ANALYTICS_ENABLED": "False",
            "GRADIO_TEMP_DIR": os.path.join(folder, "gradio"),
            "HF_HUB_OFFLINE": "1",
            "HF_HUB_DISABLE_TELEMETRY": "1",
        }
        # It would fetch the picture of any field, that of a prompt too.
        library().processing_utils.async_ssrf_protected_download = _not_fetched
        yield folder


async def _not_fetched(url: str, cache_dir: str) -> str:
    raise library().Error("Pictures are not fetched from addresses: upload the file.")


def library() -> Any:
    """Gradio, imported; to be called inside `own_folder`.

    Raises:
      ImportError: it is not installed; says how to.
    """
    try:
        import gradio
    except ImportError as error:
        raise ImportError(f"pages in a browser need gradio: {EXTRA}") from error
    return gradio


def check_port(port: int | None) -> None:
    """Raises ValueError for a number that is no port."""
    if port is not None and not 0 < port < 2**16:
        raise ValueError(f"--port is {port}; it must be from 1 to {2**16 - 1}")


def start(page: Any, limits: Limits, port: int | None = None) -> str:
    """Begins to serve a page in a thread of its own; `page.close()` ends it.

    Args:
      page: a `gradio.Blocks`.
      limits: of uploads and of the queue.
      port: None for a free one from 7860 on.

    Returns:
      The address.

    Raises:
      OSError: the port is taken.
    """
    from starlette.middleware import Middleware
    from starlette.middleware.trustedhost import TrustedHostMiddleware

    page.queue(max_size=limits.waiting, default_concurrency_limit=1)
    _, address, _ = page.launch(
        server_name=HOST,
        server_port=port,
        share=False,
        inbrowser=False,
        quiet=True,
        prevent_thread_lock=True,
        show_error=False,
        ssr_mode=False,
        mcp_server=False,
        enable_monitoring=False,
        allowed_paths=[],
        max_file_size=limits.bytes,
        run_history=False,
        footer_links=[],
        theme=_theme(),
        css_paths=[pathlib.Path(__file__).with_name("page.css")],
        app_kwargs={
            "middleware": [
                # A page of another site that leads its name to this machine is turned away.
                Middleware(TrustedHostMiddleware, allowed_hosts=[HOST, "localhost"]),
                Middleware(Policy),
            ]
        },
    )
    return address


class Policy:
    """Adds `POLICY` to every response, and refuses what `FETCHES` (an ASGI middleware)."""

    def __init__(self, app: Any) -> None:
        self._app = app

    async def __call__(self, scope: Any, receive: Any, send: Any) -> None:
        """Passes a request on, or answers 403."""
        from starlette.responses import PlainTextResponse

        async def send_with_policy(message: Any) -> None:
            if message["type"] == "http.response.start":
                added = [
                    (b"content-security-policy", POLICY.encode()),
                    (b"x-content-type-options", b"nosniff"),
                    (b"referrer-policy", b"no-referrer"),
                ]
                message = {**message, "headers": [*message.get("headers", ()), *added]}
            await send(message)

        app = self._app
        if FETCHES.match(scope.get("path", "")):
            app = PlainTextResponse("Addresses are not fetched.", 403)
        await app(scope, receive, send_with_policy)


def _theme() -> Any:
    """The look of all pages, in fonts that every machine has."""
    gradio = library()
    fonts = ["system-ui", "-apple-system", "Segoe UI", "Roboto", "DejaVu Sans", "sans-serif"]
    return gradio.themes.Default(
        primary_hue="yellow", neutral_hue="stone", font=fonts,
        font_mono=["ui-monospace", "DejaVu Sans Mono", "monospace"],
    )  # fmt: skip


def serve(page: Any, limits: Limits, port: int | None = None) -> None:
    """Serves a page until Ctrl-C, SIGTERM or SIGHUP, which end it in one way; see `start`."""
    for name in ("SIGTERM", "SIGHUP"):  # the second, of a terminal that closes, is not everywhere
        number = getattr(signal, name, None)
        if number and signal.getsignal(number) is not signal.SIG_IGN:  # which `nohup` asks for
            signal.signal(number, _interrupt)
    address = start(page, limits, port)
    print(f"open {address} in a browser on this machine; Ctrl-C ends it", flush=True)
    try:
        threading.Event().wait()
    except KeyboardInterrupt:
        with contextlib.suppress(OSError):  # the terminal may be gone
            print("\nended", flush=True)
    finally:
        page.close(verbose=False)


def _interrupt(number: int, frame: object) -> None:
    """Ends as Ctrl-C does; at once, a process would leave its folder behind."""
    signal.signal(number, signal.SIG_IGN)  # a closing terminal says it twice
    raise KeyboardInterrupt
