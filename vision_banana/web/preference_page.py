"""The page of a preference study: two pictures of one prompt, and three buttons."""

import html
import re
import sys
from typing import Any

from vision_banana.evaluation import preference_study
from vision_banana.evaluation.preference_study import Showing
from vision_banana.evaluation.preference_votes import Votes
from vision_banana.web import server

LEAD = """# Which picture is better?
You see a prompt and two pictures drawn for it. Choose the one that answers the prompt better, or
**tie** if you cannot say. Sides and order are random. Every vote is stored at once: stop whenever
you like, and go on later under the same name."""
LONGEST_NAME = 40
BUTTONS = {"left": "← Left is better", "tie": "Tie", "right": "Right is better →"}


def rater_name(text: str | None) -> str:
    """A rater's name as it is stored: the same person is the same name, however it is typed.

    Raises:
      ValueError: none, one of more than 40 characters, or others than names have.
    """
    name = " ".join((text or "").split()).lower()
    if not name:
        raise ValueError("Write your name first; votes are stored under it.")
    if wrong := re.search(r"[^\w .'@-]", name):
        raise ValueError(
            "A name has letters, digits, spaces, dots, dashes, underscores, apostrophes or @; "
            f"this has {wrong[0]!r}."
        )
    if len(name) > LONGEST_NAME:
        raise ValueError(f"A name has at most {LONGEST_NAME} characters; this has {len(name)}.")
    return name


def asked(prompt: str, edits: bool) -> str:
    """A prompt as HTML."""
    kind = "Edit" if edits else "Prompt"
    return f'<p class="asked"><span>{kind}</span> {html.escape(prompt)}</p>'


def progress(done: int, count: int) -> str:
    """How far a rater is, as HTML."""
    share = 100 * done / count
    return (
        f'<p class="quiet">{done} of {count} judged</p>'
        f'<div class="bar"><i style="width: {share:.1f}%"></i></div>'
    )


def build(votes: Votes, count: int) -> Any:
    """The page, a `gradio.Blocks`; call it inside `server.own_folder`.

    Args:
      votes: where votes go.
      count: of pairs.
    """
    gradio = server.library()
    with gradio.Blocks(
        title="Which picture is better?", analytics_enabled=False, delete_cache=(600, 3600)
    ) as page:
        rater, showing = gradio.State(""), gradio.State(None)
        gradio.Markdown(LEAD, elem_classes="lead")
        with gradio.Row(elem_id="entrance", visible=True) as entrance:
            name = gradio.Textbox(label="Your name", elem_id="name", scale=3, autofocus=True)
            begin = gradio.Button("Begin", variant="primary", elem_id="begin", scale=1)
        with gradio.Column(visible=False, elem_id="study") as study:
            done = gradio.HTML(elem_id="done")
            prompt = gradio.HTML(elem_id="asked")
            picture = _picture(gradio, "The picture to edit", "edited", 240)
            with gradio.Row():
                left = _picture(gradio, "Left", "left", 460)
                right = _picture(gradio, "Right", "right", 460)
            with gradio.Row():
                buttons = {
                    choice: gradio.Button(
                        text, elem_id=f"choose_{choice}", size="lg",
                        variant="secondary" if choice == "tie" else "primary",
                    )
                    for choice, text in BUTTONS.items()
                }  # fmt: skip
        thanks = gradio.Markdown(visible=False, elem_id="thanks")
        outputs = [rater, showing, entrance, study, done, prompt, picture, left, right, thanks]

        def shown(who: str) -> list[Any]:
            """The next pair of a rater that can be read, or thanks."""
            todo = votes.left_to(who)
            done = count - len(todo)
            there, gone = gradio.update(visible=True), gradio.update(visible=False)
            for showing in todo:
                try:
                    before = preference_study.edited(showing.pair)
                    left, right = preference_study.sides(showing)
                except ValueError as error:  # the files have changed since the study was read
                    print(error, file=sys.stderr)
                    gradio.Warning(f"A pair is passed over: {showing.pair.name} cannot be read.")
                    continue
                return [
                    who, showing, gone, there, progress(done, count),
                    asked(showing.pair.prompt, before is not None),
                    gradio.update(value=before, visible=before is not None), left, right, gone,
                ]  # fmt: skip
            lost = f" but {len(todo)}, which cannot be read" if todo else ""
            said = f"## Thank you\nYou have judged every pair{lost}. You can close this page."
            thanked = gradio.update(value=said, visible=True)
            return [who, None, gone, gone, "", "", None, None, None, thanked]

        def enter(text: str) -> list[Any]:
            try:
                return shown(rater_name(text))
            except ValueError as error:
                raise gradio.Error(html.escape(str(error))) from error

        def choose(choice: str) -> Any:
            def chosen(who: str, seen: Showing | None) -> list[Any]:
                if not who or seen is None:
                    raise gradio.Error("This page is out of date: load it again.")
                try:
                    votes.add(who, seen, choice)
                except OSError as error:
                    raise gradio.Error(f"The vote is not stored: {error.strerror}") from error
                return shown(who)

            return chosen

        quick = {"api_visibility": "private", "concurrency_limit": 1, "show_progress": "hidden"}
        begin.click(enter, name, outputs, **quick)
        name.submit(enter, name, outputs, **quick)
        for choice, button in buttons.items():
            button.click(choose(choice), [rater, showing], outputs, **quick)
    return page


def _picture(gradio: Any, label: str, name: str, height: int) -> Any:
    """A picture without a name that could tell whose it is."""
    return gradio.Image(
        label=label, elem_id=name, height=height, interactive=False, format="png",
        buttons=["fullscreen"], elem_classes="exact",
    )  # fmt: skip
