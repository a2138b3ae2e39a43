"""Writes trained weights as a folder that others can load.

    python -m vision_banana.export --workdir runs/my_pocket --output pocket-weights

The folder has the Hugging Face hub's layout: EMA weights in bfloat16 (safetensors), a JSON config
and a model card with the run's scores, hours and drawings. It is loaded by
`vision_banana.load(FOLDER)` and by `--checkpoint FOLDER`. With `--stablehlo` two programs join it,
which need nothing but jax: `perceive.stablehlo` for prompts about one picture and
`generate.stablehlo` for drawing from words, with `tokenizer.json`, which turns prompts into their
token ids.
"""

import argparse
from collections.abc import Sequence

from absl import logging
from etils import epath

from vision_banana import _bad_input, _progress
from vision_banana.data import language
from vision_banana.evaluation import model_card, stablehlo
from vision_banana.evaluation.predict import DRAWING_GUIDANCE, DRAWING_STEPS
from vision_banana.text import tokenizer
from vision_banana.training import pretrained, weights_arguments
from vision_banana.training.checkpoint import Checkpoints


def export(arguments: argparse.Namespace) -> list[str]:
    """Loads, packs and writes; returns the names of the files.

    Raises:
      ValueError, OSError: weights that cannot be used, or a folder that is not empty.
    """
    pretrained.check_free(arguments.output)
    model = weights_arguments.load(arguments, language.describe())
    workdir = arguments.workdir
    folder = epath.Path(workdir) if workdir is not None else pretrained.find(arguments.checkpoint)
    if workdir is not None or pretrained.is_run(folder):
        checkpoints = Checkpoints(str(folder), read_only=True)
        description = checkpoints.description(model.step)
        checkpoints.close()
        card = model_card.build(model, description, str(folder))
        sheets = model_card.sheets(model.step, str(folder))
    else:
        description = pretrained.read_record(folder, language.describe())
        card = pretrained.read_card(folder)
        drawn = [folder / name for name in pretrained.SHEETS]
        sheets = {path.name: path.read_bytes() for path in drawn if path.exists()}
    files = pretrained.pack(model, description, card) | sheets
    if arguments.stablehlo:
        size = model.config["data"]["size"]
        sampling = dict(steps=DRAWING_STEPS, shift=model.shift, text_guidance=DRAWING_GUIDANCE)
        with _progress.stages(2) as begin:
            with begin("perceive.stablehlo"):
                files["perceive.stablehlo"] = stablehlo.export(model.model, size, 1)
            with begin("generate.stablehlo"):
                files["generate.stablehlo"] = stablehlo.export(model.model, size, 0, **sampling)
        files["tokenizer.json"] = tokenizer.PATH.read_bytes()
    pretrained.write(arguments.output, files)
    return list(files)


def main(argv: Sequence[str] | None = None) -> None:
    """The command."""
    parser = weights_arguments.parser_of("vision_banana.export", __doc__)
    parser.add_argument("--output", required=True, help="folder to write, new or empty")
    parser.add_argument("--stablehlo", action="store_true", help="add programs for other code")
    arguments = parser.parse_args(argv)
    logging.set_verbosity(logging.ERROR)
    with _bad_input.exits("export"):
        files = export(arguments)
    print(f"wrote {', '.join(files)} to {arguments.output}")


if __name__ == "__main__":
    main()
