"""The demo's page: a form on the left, the answer on the right."""

import contextvars
import functools
import html
import pathlib
from collections.abc import Sequence
from typing import Any

from vision_banana.evaluation import own_pictures, photographs
from vision_banana.web import server
from vision_banana.web.answering import PRESETS, Answerer, Form, Preset, Shown
from vision_banana.web.limits import Limits

LEAD = """# Vision Banana
One image generator that draws, edits and sees: every answer is a picture it draws, read back into
numbers. Choose a task and a picture, then press **Ask**."""
FIRST = "Depth"


def build(answerer: Answerer) -> Any:
    """The page, a `gradio.Blocks`; call it inside `server.own_folder`."""
    gradio = server.library()
    preset = PRESETS[FIRST]
    photos = sorted(str(path) for path in photographs.FOLDER.glob("*.jpg"))
    with gradio.Blocks(
        title="Vision Banana", analytics_enabled=False, delete_cache=(600, 3600)
    ) as page:
        gradio.Markdown(LEAD, elem_classes="lead")
        task = gradio.Radio(list(PRESETS), value=FIRST, label="Task", elem_id="task")
        with gradio.Row():
            with gradio.Column(scale=4, min_width=340):
                with gradio.Column() as pictures:
                    image = _upload(gradio, answerer.limits, photos[0])
                    _photos(gradio, photos, image)
                prompt = gradio.Textbox(
                    preset.prompt, label="Prompt", lines=3, elem_id="prompt",
                    max_length=answerer.limits.letters,
                )  # fmt: skip
                with gradio.Accordion("Steps, guidance and seed", open=False):
                    numbers = _numbers(gradio, preset, answerer.limits)
                ask = gradio.Button("Ask", variant="primary", size="lg", elem_id="ask")
            with gradio.Column(scale=6, min_width=420):
                outputs = _answer(gradio)
        about = f"Answered by {answerer.model!r} on this machine; nothing leaves it."
        gradio.HTML(f'<p class="quiet">{html.escape(about)}</p>')

        task.change(
            functools.partial(_chosen, gradio), task, [prompt, *numbers[:2], pictures],
            api_visibility="private", show_progress="hidden",
        )  # fmt: skip

        def answer(*fields: Any, progress: Any = gradio.Progress()) -> list[Any]:  # noqa: B008
            context = contextvars.copy_context()

            def tell(share: float, words: str) -> None:
                # The sampler tells from a thread of its own, which knows nothing of this request.
                context.copy().run(progress, share, desc=words)

            try:
                return _updates(gradio, answerer(Form(*fields), tell))
            except (ValueError, OSError) as error:
                raise gradio.Error(_sentence(error), duration=None) from error

        ask.click(
            answer, [task, image, prompt, *numbers], list(outputs), api_visibility="private",
            concurrency_limit=1, show_progress="full", show_progress_on=[outputs[0]],
        )  # fmt: skip
    return page


def _upload(gradio: Any, limits: Limits, value: str) -> Any:
    """The field of the picture; our own code alone opens what was uploaded.

    It must get values alone: at `gradio.update`, gradio makes a new field of its own kind in place
    of this one, which opens everything.
    """
    image = gradio.Image(
        value, type="filepath", sources=["upload", "clipboard"], height=260, elem_id="picture",
        label=f"Picture, up to {limits.megabytes:g} MB and {limits.megapixels:g} megapixels",
        buttons=[],
    )  # fmt: skip
    uploads = pathlib.Path(image.GRADIO_CACHE).resolve()

    def path(payload: Any) -> str | None:
        if payload is None or payload.path is None:
            return None
        file = pathlib.Path(payload.path).resolve()
        # Gradio does not look at the paths of requests that no page has sent.
        if not file.is_relative_to(uploads):
            raise gradio.Error("That picture was not uploaded: choose it again.")
        return str(file)

    image.preprocess = path
    return image


def _photos(gradio: Any, photos: Sequence[str], image: Any) -> None:
    """Pictures to choose from in place of an upload."""
    shown = gradio.Dataset(
        components=[image], samples=[[photo] for photo in photos], type="index",
        label="Or one of these", elem_id="photos",
    )  # fmt: skip

    def choose(number: int) -> str:
        # Its copy in the served folder: no other file is given out.
        return str(shown.samples[number][0]["path"])

    # Unlike `gradio.Examples`, which updates the field.
    shown.click(choose, shown, image, api_visibility="private", show_progress="hidden")


def _numbers(gradio: Any, preset: Preset, limits: Limits) -> list[Any]:
    """Fields for steps, guidance by the prompt and by the picture, and the seed."""
    return [
        gradio.Slider(
            1, limits.steps, preset.steps, step=1, label="Sampling steps", elem_id="steps",
            info="1 to see and to edit, 20 to draw",
        ),
        gradio.Slider(
            0.1, limits.guidance, preset.text_guidance, step=0.1, label="Prompt guidance",
            info="weight of the prompt; 1 is none", elem_id="text_guidance",
        ),
        gradio.Slider(
            0.1, limits.guidance, 1, step=0.1, label="Picture guidance",
            info="weight of the picture; 1 is none", elem_id="reference_guidance",
        ),
        gradio.Number(
            0, label="Seed", precision=0, minimum=0, maximum=own_pictures.SEEDS - 1, elem_id="seed"
        ),
    ]  # fmt: skip


def _answer(gradio: Any) -> tuple[Any, ...]:
    """Where the answer goes, in the order of `_updates`."""
    picture = functools.partial(
        gradio.Image, interactive=False, format="png", buttons=["fullscreen", "download"],
        height=280, elem_classes="exact",
    )  # fmt: skip
    said = gradio.Markdown("The answer appears here.", elem_id="said", min_height=56)
    with gradio.Row():
        drawn = picture(label="Drawn by the generator", elem_id="drawn")
        decoded = picture(label="Decoded", elem_id="decoded")
    legend = gradio.HTML(visible=False, elem_id="legend")
    with gradio.Row():
        overlay = picture(label="Decoded, over the picture", elem_id="overlay")
        confidence = picture(label="Confidence: white is sure, dark red is not",
                             elem_id="confidence")  # fmt: skip
    cloud = gradio.HTML(visible=False, elem_id="space")
    files = gradio.File(
        label="Download", file_count="multiple", interactive=False, visible=False, elem_id="files"
    )
    return said, drawn, decoded, legend, overlay, confidence, cloud, files


def _updates(gradio: Any, shown: Shown) -> list[Any]:
    """What each field of `_answer` becomes."""
    optional = [
        gradio.update(value=value, visible=value is not None and value != "")
        if isinstance(value, str | None)
        else gradio.update(value=value, visible=True)
        for value in (shown.decoded, shown.legend, shown.overlay, shown.confidence, shown.cloud)
    ]
    files = gradio.update(value=shown.files, visible=True)
    return [_escaped(shown.said), shown.drawn, *optional, files]


def _chosen(gradio: Any, label: str) -> list[Any]:
    """What the form becomes when a task is chosen."""
    preset = PRESETS[label]
    return [
        preset.prompt,
        preset.steps,
        preset.text_guidance,
        gradio.update(visible=preset.looks),
    ]


def _sentence(error: ValueError | OSError) -> str:
    """An error as the page says it: one line, a capital, no markup, no path."""
    reason = error.strerror if isinstance(error, OSError) else None
    text = " ".join((reason or str(error)).split())
    return html.escape(text[:1].upper() + text[1:])


def _escaped(text: str) -> str:
    """Text as Markdown that means nothing but itself."""
    return "".join(
        f"\\{letter}" if letter in r"\`*_{}[]()#+-.!<>|$~" else letter for letter in text
    )
