"""Code and commands of the documents: how they are found, and how each is run in a test.

A fenced block is `python`, which is executed (all blocks of a document in one namespace; one with
`title="FILE"` is written to that file instead), or `bash`, whose lines are run one by one through
the commands' own entry points with few steps, records and pictures (`Commands`), or `text` or
`json`, which is only shown. A line that ends in `# needs ...`, or a block that begins with it, is
not run, for the reason that follows; its options must exist all the same.
"""

import contextlib
import copy
import importlib
import io
import itertools
import os
import re
import shlex
import shutil
import subprocess
import sys
import tomllib
import types
from typing import NamedTuple

import nano_run
import tiny_run
from absl import flags
from commands import ROOT
from ml_collections import config_flags

from vision_banana import quickstart

FENCE = re.compile(r"^( *)```([^\n]*)\n(.*?)^\1```$", re.MULTILINE | re.DOTALL)
SHOWN = ("text", "json")
NEEDS = re.compile(r"(?:^|\s)# needs (.+)$")
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]

# Appended to a command, whose last option of a name counts.
REDUCED = {
    "evaluate": "--count 1 --steps 1 --tasks depth",
    "sample": "--steps 1",
    "generate": "--steps 1",
    "edit": "--steps 1",
}
# One program for every config of `train`.
REDUCED_CONFIG = (
    "--config.steps=2 --config.data.groups=1 --config.data.queries=2 --config.panels_every=0 "
    "--config.mesh.fsdp=1 --config.init_from= --config.log_every=1 --config.objective.kept_share=1 "
    "--config.optimizer.muon_rate=0 --config.time.mean=-1 --config.time.std=1 "
    "--config.time.noise_share=0.5 --config.objective.drop_text=0.1 "
    "--config.objective.drop_references=0.1 --config.objective.ema_decay=0.9 "
    "--config.optimizer.warmup=1 --config.optimizer.decay_share=0 --config.data.vision_share=-1"
)


class Block(NamedTuple):
    """A fenced block."""

    line: int
    kind: str
    title: str
    text: str


class Line(NamedTuple):
    """A command, and why it cannot be run here ("" where it can)."""

    words: tuple[str, ...]
    needs: str


def blocks(text):
    """The fenced blocks of a document."""
    for found in FENCE.finditer(text):
        kind, _, rest = found[2].partition(" ")
        title = re.search(r'title="([^"]+)"', rest)
        body = re.sub(rf"^{found[1]}", "", found[3], flags=re.MULTILINE)
        yield Block(text[: found.start()].count("\n") + 1, kind, title[1] if title else "", body)


def lines(block):
    """The commands of a `bash` block."""
    text = block.replace("\\\n", " ")
    first = NEEDS.match(text.partition("\n")[0])
    for line in text.splitlines():
        needs = NEEDS.search(line)
        words = tuple(shlex.split(line, comments=True))
        if words:
            yield Line(words, first[1] if first else needs[1] if needs else "")


class Commands:
    """Runs the lines of documents in a folder that has what they name.

    Args:
      folder: empty.
      monkeypatch: of the test.
    """

    def __init__(self, folder, monkeypatch):
        self.asked, self.trained = folder / "asked", folder / "trained"
        self._patch = monkeypatch
        tiny_run.install(monkeypatch)
        monkeypatch.setattr("vision_banana.report.build", lambda *_: "<html></html>")
        paces = dict.fromkeys(quickstart.SHARES, 1.0)
        monkeypatch.setattr(quickstart, "timed", lambda *_: {"seconds_per_step": paces})

    def run(self, line):
        """Runs a command; raises where it fails or does not exist."""
        words = list(line.words)
        if re.fullmatch(r"(\.venv/bin/)?python3?", words[0]) and words[1] == "-m":
            self._module(words[2], words[3:], line.needs)
        elif words[0] == "vision-banana":
            self._console(words[1], words[2:], line.needs)
        elif words[0] == "make":
            self._make(words[1:])
        elif line.needs:
            return
        elif words[:2] == ["pip", "install"]:
            extras = re.search(r"\[(.*)\]", words[-1])
            for extra in extras[1].split(",") if extras else ():
                assert extra in PROJECT["optional-dependencies"], extra
        elif words[:2] == ["git", "clone"]:
            assert words[2] == PROJECT["urls"]["Repository"]
        elif words[0] != "cd":
            raise ValueError(f"{shlex.join(words)}: say in tests/documents.py how this is run")

    def _make(self, words):
        """Runs what the target runs of this project."""
        dry = subprocess.run(
            ["make", "--always-make", "--dry-run", *words],
            cwd=ROOT, capture_output=True, text=True, check=True,
        ).stdout  # fmt: skip
        for found in re.findall(r"^\S*python -m (vision_banana\S*.*)$", dry, re.MULTILINE):
            name, *rest = shlex.split(found)
            self._module(name, rest, "")

    def _console(self, name, rest, needs):
        from vision_banana import cli

        if name in cli.COMMANDS:
            self._module(f"vision_banana.{name}", rest, needs)
        elif not needs:
            shorter = shlex.split(REDUCED.get(name, ""))
            self._call(lambda argv: cli.main([name, *argv]), [*rest, *shorter], self.asked)

    def _module(self, name, rest, needs):
        module = importlib.import_module(name)
        if hasattr(module, "__path__"):  # the command of a package
            module = importlib.import_module(f"{name}.__main__")
        short = name.rpartition(".")[2]
        if short == "train":
            config, workdir = self._train_arguments(module, rest)
            if not needs:
                with contextlib.chdir(self.trained):
                    module.train(config, str(self.trained / workdir))
        elif needs:
            self._options_exist(module, rest)
        elif short == "quickstart":
            self._patch.setattr(module, "subprocess", types.SimpleNamespace(run=self._part))
            self._call(module.main, rest, self.trained)
        else:
            for option, value in itertools.pairwise(rest):
                if option in ("--workdir", "--pretrain"):
                    self._have_run(value)
            shorter = shlex.split(REDUCED.get(short, ""))
            if short == "sample" and "--prompt" not in rest and "--task" not in rest:
                shorter += ["--task", "depth"]  # in place of every task
            self._call(module.main, [*rest, *shorter], self.asked)

    def _part(self, command, check, env):
        """What `quickstart` starts as a process of its own."""
        self._module(command[2], command[3:], "")
        return types.SimpleNamespace(returncode=0)

    def _have_run(self, name):
        """A run of a nano generator, where there is none of that name."""
        if not (self.asked / name / "checkpoints").exists():
            shutil.copytree(self.asked / "run", self.asked / name, dirs_exist_ok=True)

    def _call(self, main, argv, folder):
        with contextlib.chdir(folder), contextlib.redirect_stdout(io.StringIO()):
            code = main(argv)
        assert not code, f"{shlex.join(argv)} ends with exit code {code}"

    def _options_exist(self, module, rest):
        options = [word.partition("=")[0] for word in rest if word.startswith("--")]
        if flags.FLAGS.get_flags_for_module(module.__name__):
            for option in options:
                name = option[2:].partition(".")[0]
                assert name in flags.FLAGS, f"{module.__name__} has no {option}"
            return
        said = io.StringIO()
        with contextlib.redirect_stdout(said), contextlib.suppress(SystemExit):
            module.main(["--help"])
        for option in options:
            assert re.search(rf"{option}\b", said.getvalue()), f"{module.__name__} has no {option}"

    def _config(self, name):
        """Where a config lies: one that the document writes, or the project's."""
        written = self.asked / name
        return str(written if written.exists() else ROOT / name)

    def _train_arguments(self, module, rest):
        """The reduced config and the work folder that the flags of `train` give."""
        here = [self._config(w) if w.startswith("configs/") else w for w in rest]
        argv = ["train", *here, *REDUCED_CONFIG.split()]
        self._patch.setattr(sys, "argv", argv)
        values = flags.FlagValues()
        config_flags.DEFINE_config_file("config", None, "", flag_values=values)
        for flag in flags.FLAGS.get_flags_for_module(module.__name__):
            if flag.name.partition(".")[0] != "config":
                values[flag.name] = copy.deepcopy(flag)
        values(argv)
        return values.config.to_dict(), os.path.basename(values.workdir)


def prepare(folder):
    """What documents name: runs, weights, a photo, a folder of pictures; returns its path."""
    import jax.numpy as jnp
    import numpy as np
    from PIL import Image

    from vision_banana.training import update_guard
    from vision_banana.training.checkpoint import Checkpoints

    asked, trained = folder / "asked", folder / "trained"
    for place in (asked / "photos", trained / "pictures"):
        place.mkdir(parents=True)
    levels = np.random.default_rng(0).integers(0, 256, (3, 48, 64, 3), np.uint8)
    for name in ("photo.jpg", "photos/1.jpg", "photos/2.jpg"):
        Image.fromarray(levels[0]).save(asked / name)
    for i, picture in enumerate(levels):
        Image.fromarray(picture).save(trained / "pictures" / f"{i}.png")
        (trained / "pictures" / f"{i}.txt").write_text("a picture of noise")
    params = nano_run.random_params()
    state = {"params": params, "ema": params, "opt_state": {}, "step": jnp.int32(7)}
    checkpoints = Checkpoints(str(asked / "run"))
    checkpoints.save(state | {"guard": update_guard.init()}, nano_run.DESCRIPTION)
    checkpoints.close()
    (asked / "run" / "metrics.jsonl").write_text('{"step": 1, "loss": 0.5}\n')
    for place in (folder / "checkpoints" / "pocket", asked / "FOLDER"):
        nano_run.write(place)
    return folder
