"""Compiles a config's train step and sampler for a TPU topology, without a TPU.

    python -m vision_banana.compile --config configs/large_1b.py --topology v5e:16x16

Prints and saves what each chip holds and moves, the time that a step takes at least and what the
config's schedule costs. Exits with 1 where a program does not fit into a chip's memory, with 2
where the config is wrong or the TPU compiler is missing (`pip install 'vision-banana[tpu]'`).
"""

import json
import os
import pathlib
import re

from absl import app, flags
from ml_collections import config_flags

from vision_banana import _bad_input
from vision_banana.training import config_flag, folders
from vision_banana.training.config_flag import CONFIG

flags.declare_key_flag("config")
_TOPOLOGY = flags.DEFINE_string("topology", None, "KIND:SHAPE of a slice, as v5e:16x16.")
_SLICES = flags.DEFINE_integer("slices", 1, "Slices of that shape.")
_PRICE = flags.DEFINE_float("price", None, "US dollars for a chip-hour; default: list price.")
_EFFICIENCY = flags.DEFINE_float("efficiency", 0.7, "Share of the roofline assumed for hours.")
_SAMPLING = flags.DEFINE_integer("sampling_steps", 20, "Steps of the sampler; 0: no sampler.")
_HLO = flags.DEFINE_string("hlo", "", "Folder for the compiled programs' text; default: nowhere.")
_OUTPUT = flags.DEFINE_string(
    "output", "", "Where the report goes; default: runs/compile/CONFIG_TOPOLOGY.json."
)


def main(argv: list[str]) -> None:
    """The command."""
    del argv  # `config_flag.parse` has read all of it
    os.environ.setdefault("JAX_PLATFORMS", "cpu")  # compile for a TPU, take none
    from vision_banana.pods import description, plan, topology

    with _bad_input.exits("compile"):
        place = topology.parse(str(_TOPOLOGY.value), _SLICES.value)
        try:
            report = plan.plan(
                CONFIG.value.to_dict(),
                place,
                price=_PRICE.value,
                efficiency=_EFFICIENCY.value,
                sampling_steps=_SAMPLING.value,
                hlo_folder=_HLO.value,
            )
        except plan.DoesNotFit as error:
            print(f"does not fit on {place.name}: {error}")
            raise SystemExit(1) from error
        except TypeError as error:  # a section of the config with a key too many or too few
            raise ValueError(str(error)) from error
        print(description.describe(report))
        name = place.name.replace(" ", "").replace(":", "_")
        config = config_flags.get_config_filename(flags.FLAGS["config"])
        phase = re.sub(r"\W+", "-", pathlib.Path(config).name.replace(".py", ""))
        default = f"runs/compile/{phase}_{name}.json"
        output = pathlib.Path(_OUTPUT.value or default)
        output.parent.mkdir(parents=True, exist_ok=True)
        folders.write_whole(output, json.dumps(report, indent=1))
    print(f"saved to {output}")


if __name__ == "__main__":
    flags.mark_flags_as_required(["config", "topology"])
    app.run(main, flags_parser=config_flag.parse)
