"""Folders of weights as people exchange them, which is also the Hugging Face hub's layout.

    weights.safetensors   the EMA weights in bfloat16, "blocks.attention.query" and so on
    config.json           format, step, hash of the weights, config, language, where it comes from
    README.md             the model card
    caption_sheet.jpg     what it draws from 64 held-out captions, where that was drawn
    answer_sheet.jpg      what it answers about a few held-out scenes, where that was drawn

Nothing in such a folder is executed, and nothing is fetched unless a hub name asks for it.
"""

import difflib
import hashlib
import json
import os
import pathlib
from collections.abc import Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy
from etils import epath
from jax.sharding import Mesh, NamedSharding

from vision_banana.models import generator
from vision_banana.models.generator import Generator, Params
from vision_banana.training import sharding, trained, weights_record
from vision_banana.training.checkpoint import Checkpoints, check_model
from vision_banana.training.trained import Trained

FORMAT, VERSION = "vision_banana", 1
WEIGHTS, CONFIG, CARD = "weights.safetensors", "config.json", "README.md"
CAPTION_SHEET, ANSWER_SHEET = SHEETS = ("caption_sheet.jpg", "answer_sheet.jpg")

PACKAGED = ("pocket",)  # checkpoints that ship with the code
FOLDER = pathlib.Path(__file__).parents[1] / "checkpoints"
HUB = "hf://"

_DTYPES = {"BF16": jnp.bfloat16, "F32": np.float32}


def pack(model: Trained, description: Mapping[str, Any], card: str) -> dict[str, bytes]:
    """The files of a folder of weights, by name.

    Args:
      model: the generator.
      description: of its checkpoint, see `provenance.describe`.
      card: the model card, Markdown.
    """
    tensors = {n: np.asarray(x).astype(jnp.bfloat16) for n, x in flatten(model.params).items()}
    weights = safetensors.numpy.save(tensors, {"format": FORMAT})
    record = {
        "format": FORMAT,
        "format_version": VERSION,
        "step": model.step,
        "weights": {"bytes": len(weights), "sha256": hashlib.sha256(weights).hexdigest()},
        **{key: value for key, value in description.items() if key not in ("step", "weights")},
    }
    return {
        WEIGHTS: weights,
        CONFIG: (json.dumps(record, indent=1, sort_keys=True) + "\n").encode(),
        CARD: card.encode(),
    }


def write(folder: str, files: Mapping[str, bytes]) -> None:
    """Writes a folder whole or not at all.

    Raises:
      ValueError: where the folder holds something already.
    """
    path = epath.Path(folder).expanduser()
    check_free(folder)
    partial = path.parent / f"{path.name}.partial"
    if partial.exists():
        partial.rmtree()  # what an interrupted export left
    partial.mkdir(parents=True)
    try:
        for name, content in files.items():
            (partial / name).write_bytes(content)
        if path.exists():
            path.rmdir()
        partial.rename(path)
    except BaseException:  # Ctrl-C too
        if partial.exists():
            partial.rmtree()
        raise


def check_free(folder: str) -> None:
    """Raises ValueError where a folder holds something that would be lost."""
    path = epath.Path(folder).expanduser()
    if path.exists() and (not path.is_dir() or any(path.iterdir())):
        raise ValueError(f"{path} is not empty; remove it first, or choose another --output")


def load(name: str | os.PathLike[str], language: Mapping[str, Any]) -> Trained:
    """Loads weights from where they are told to be.

    Args:
      name: a packaged checkpoint ("pocket"), a folder of weights (local or in a bucket), the
        folder of a training run, or a hub's repository, "hf://owner/name" or
        "hf://owner/name@revision"; a bucket and the hub alone touch the network.
      language: what this code speaks (`vision_banana.data.language.describe()`).

    Raises:
      FileNotFoundError: where there is nothing of that name, or a file is missing; names it.
      ValueError: for files that are damaged, of another format version, size or language; names
        the file and what it expected.
    """
    folder = find(name)
    if is_run(folder):
        return trained.load(str(folder), language)
    record = read_record(folder, language)
    mesh = sharding.all_devices()
    processor = mesh.devices.flat[0].platform
    try:
        model = generator.from_config(record["config"]["model"], processor)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"{folder / CONFIG} describes a model that this version lacks: {error}"
        ) from error
    size, patch = record["config"]["data"]["size"], model.dims.patch
    if size % patch:
        raise ValueError(
            f"{folder / CONFIG} is damaged: config.data.size is {size}, and must be a multiple of "
            f"{patch}, the side of the model's patches"
        )
    return Trained(model, _restore(folder, record, model, mesh), record["config"], record["step"])


def load_weights(name: str, model: Generator, mesh: Mesh, language: Mapping[str, Any]) -> Params:
    """Loads weights for a model and a mesh that are there already; see `load`.

    Raises:
      ValueError: besides `load`'s reasons, where the weights are of another model.
    """
    folder = find(name)
    if is_run(folder):
        checkpoints = Checkpoints(str(folder), read_only=True)

        def read(step: int) -> Params:
            saved = checkpoints.description(step)["language"]
            trained.check_language(saved, language, str(checkpoints.folder))
            return checkpoints.read_weights(model, mesh, "ema", step)

        _, params = checkpoints.newest_good(read)
        checkpoints.close()
        return params
    record = read_record(folder, language)
    check_model(model, record["config"]["model"], str(folder))
    return _restore(folder, record, model, mesh)


def check(name: str, model: Generator, language: Mapping[str, Any]) -> None:
    """Checks that a model can begin with weights, without reading them; see `load_weights`.

    Raises:
      FileNotFoundError: there is nothing of that name, or no checkpoint.
      ValueError: the weights are of another model or language.
    """
    folder = find(name)
    if not is_run(folder):
        check_model(model, read_record(folder, language)["config"]["model"], str(folder))
        return
    checkpoints = Checkpoints(str(folder), read_only=True)
    description = checkpoints.description()
    checkpoints.close()
    trained.check_language(description["language"], language, str(checkpoints.folder))
    check_model(model, description["config"]["model"], str(checkpoints.folder))


def is_run(folder: epath.Path) -> bool:
    """Whether a folder that `find` has found is a training run's, and none of exported weights."""
    # A run has a config.json of its own.
    return (folder / "checkpoints").exists() and not (folder / WEIGHTS).exists()


def _restore(folder: epath.Path, record: Mapping[str, Any], model: Generator, mesh: Mesh) -> Params:
    shapes = jax.eval_shape(model.init, jax.random.key(0))
    tensors = _read_weights(folder, record["weights"])
    where = str(folder / WEIGHTS)
    _check_shapes(tensors, {n: x.shape for n, x in flatten(shapes).items()}, where)
    _check_finite(tensors, where)
    shardings = flatten(sharding.tree_shardings(shapes, mesh))
    return unflatten({name: _placed(x, shardings[name]) for name, x in tensors.items()})


def _placed(tensor: np.ndarray, layout: NamedSharding) -> jax.Array:
    """A tensor that every process holds, as float32; each places the parts of its own devices."""
    # `device_put` would compare the whole tensors of all processes.
    return jax.make_array_from_callback(
        tensor.shape, layout, lambda part: tensor[part].astype(np.float32)
    )


def find(name: str | os.PathLike[str]) -> epath.Path:
    """The folder that a name means; see `load`.

    Raises:
      FileNotFoundError: where there is none; lists the nearest names.
      ValueError: a bucket whose client is not installed.
    """
    name = os.fspath(name)
    if name in PACKAGED:
        return epath.Path(FOLDER) / name
    if name.startswith(HUB):
        return epath.Path(_download(name))
    path = epath.Path(name).expanduser()
    try:
        there = path.is_dir()
    except ImportError as error:
        raise ValueError(
            f"{name} lies in a bucket: {error}; for gs://, pip install 'vision-banana[gcs]'"
        ) from error
    if not there:
        near = difflib.get_close_matches(name, PACKAGED)
        raise FileNotFoundError(
            f"there is no checkpoint {name!r}"
            f"{f'; did you mean {near[0]!r}?' if near else ':'} it must be a packaged one "
            f"({', '.join(PACKAGED)}), a folder, or a hub's repository as {HUB}owner/name"
        )
    return path


def read_record(folder: epath.Path, language: Mapping[str, Any]) -> dict[str, Any]:
    """Reads and checks a folder's `config.json`; see `load` for what it raises."""
    path = folder / CONFIG
    try:
        record = json.loads(_read(folder, CONFIG))
    except ValueError as error:
        raise ValueError(f"{path} is damaged, it is no JSON: {error}") from error
    if not isinstance(record, dict) or record.get("format") != FORMAT:
        raise ValueError(
            f"{path} does not describe weights of {FORMAT}: it must be a JSON object with "
            f'"format": "{FORMAT}", as `python -m vision_banana.export` writes it'
        )
    if record.get("format_version") != VERSION:
        raise ValueError(
            f"{path} has format_version {record.get('format_version')!r}, but this version of "
            f"vision_banana reads {VERSION}; update the older of the two"
        )
    weights_record.check(record, str(path))
    trained.check_language(record["language"], language, str(path))
    return record


def read_card(folder: epath.Path) -> str:
    """The model card of a folder; raises FileNotFoundError where it is missing."""
    return _read(folder, CARD).decode()


def flatten(params: Params) -> dict[str, Any]:
    """Weights by name, the path's parts joined by dots."""
    leaves = jax.tree_util.tree_leaves_with_path(params)
    return {jax.tree_util.keystr(p, simple=True, separator="."): leaf for p, leaf in leaves}


def unflatten(tensors: Mapping[str, Any]) -> Params:
    """The inverse of `flatten`."""
    params: Params = {}
    for name, leaf in tensors.items():
        *parents, last = name.split(".")
        level = params
        for part in parents:
            level = level.setdefault(part, {})
        level[last] = leaf
    return params


def _read(folder: epath.Path, file: str) -> bytes:
    path = folder / file
    if path.exists():
        return path.read_bytes()
    if folder.parent == epath.Path(FOLDER):
        raise FileNotFoundError(
            f"{path} is missing, so the packaged checkpoint {folder.name!r} cannot be loaded; "
            f"make it from a trained run with `python -m vision_banana.export --workdir "
            f"runs/{folder.name} --output {folder}`"
        )
    raise FileNotFoundError(
        f"{path} is missing; a folder of weights holds {WEIGHTS}, {CONFIG} and {CARD}, as "
        "`python -m vision_banana.export` writes them"
    )


def _read_weights(folder: epath.Path, expected: Mapping[str, Any]) -> dict[str, np.ndarray]:
    path = folder / WEIGHTS
    data = _read(folder, WEIGHTS)
    if len(data) != expected["bytes"]:
        raise ValueError(
            f"{path} has {len(data)} bytes, but {CONFIG} expects {expected['bytes']}: it is "
            "truncated or another file; fetch or export it again"
        )
    if hashlib.sha256(data).hexdigest() != expected["sha256"]:
        raise ValueError(
            f"{path} is damaged or another file: its SHA-256 is not the {expected['sha256']} that "
            f"{CONFIG} expects; fetch or export it again"
        )
    try:
        found = dict(safetensors.deserialize(data))
        # safetensors' own NumPy reader does not know bfloat16 in bytes.
        return {
            name: np.frombuffer(x["data"], _DTYPES[x["dtype"]]).reshape(x["shape"])
            for name, x in found.items()
        }
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path} is no safetensors file: {error}") from error
    except KeyError as error:
        raise ValueError(f"{path} holds {error}; the weights must be BF16 or F32") from error


def _check_shapes(
    tensors: Mapping[str, np.ndarray], shapes: Mapping[str, tuple[int, ...]], where: str
) -> None:
    for name in sorted(tensors.keys() | shapes.keys()):
        found = tensors[name].shape if name in tensors else "no such weight"
        expected = shapes.get(name, "no such weight")
        if found != expected:
            raise ValueError(
                f"{where} does not fit the model of {CONFIG}: {name} is {found}, expected "
                f"{expected}; it belongs to another model size or another version"
            )


def _check_finite(tensors: Mapping[str, np.ndarray], where: str) -> None:
    for name, tensor in sorted(tensors.items()):
        if bad := int((~np.isfinite(tensor.astype(np.float32))).sum()):
            raise ValueError(
                f"{where} cannot be used: {bad} of the {tensor.size} numbers of {name} are NaN or "
                "infinite; export an earlier checkpoint of its run"
            )


def _download(address: str) -> str:
    """Fetches of a hub's repository what a folder of weights holds, into the hub's cache."""
    try:
        import huggingface_hub
    except ImportError as error:
        raise ValueError(
            f"{address} needs the hub's client: pip install 'vision-banana[hub]'"
        ) from error
    repository, _, revision = address.removeprefix(HUB).partition("@")
    if repository.count("/") != 1:
        raise ValueError(f"{address} is no hub name; write {HUB}owner/name")
    try:
        return huggingface_hub.snapshot_download(
            repository, revision=revision or None, allow_patterns=[WEIGHTS, CONFIG, CARD, *SHEETS]
        )
    except (OSError, ValueError) as error:
        raise FileNotFoundError(f"{address} cannot be fetched: {error}") from error
