"""Looks for the benchmarks' pictures among those that a run is trained on.

    python -m vision_banana.evaluation.leaks runs/mine --most 2000 \
        --benchmark nyu_depth=/data/nyu --benchmark ibims=/data/ibims
    python -m vision_banana.evaluation.leaks configs/own_pictures.py --most 2000 \
        --set data.mixture.mine.source.path=/data/mine --output leaks.json --benchmark ...

A mix is a run's folder, or a config with the values that it still lacks. Pictures are compared by a
perceptual hash (`perceptual_hash`), each also with the other mirrored. The result is a JSON file,
RUN/leaks.json for a run, which its model card quotes. `--most` is how many records of each source
are looked at; the procedural scenes never end. Exit code 1: something matched.

`--save_hashes FOLDER` keeps the benchmarks' hashes, from which no picture can be made; their file
stands in for the data in `--benchmark nyu_depth=FOLDER/nyu_depth.npz`.
"""

import collections
import importlib.metadata
import json
import os
import pathlib
import runpy
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import tqdm
from etils import epath

from vision_banana import _bad_input
from vision_banana.data import source, sources
from vision_banana.evaluation import benchmarks, perceptual_hash
from vision_banana.evaluation.perceptual_hash import Hashes, Seen
from vision_banana.training import folders

FILE = "leaks.json"


def check(
    mix: Mapping[str, Mapping[str, Any]],
    asked: Mapping[str, str],
    *,
    most: int = 0,
    save_hashes: str = "",
) -> dict[str, Any]:
    """Compares the pictures of a mix with those of benchmarks.

    Args:
      mix: name -> row of a mixture, see `mixture.Entry`.
      asked: name of a benchmark -> the folder of its data, or a file of its hashes.
      most: records of a training source that are looked at, spread over it; 0 means all.
      save_hashes: a folder for the benchmarks' hashes; "" keeps none.

    Returns:
      JSON: how it was compared, what was looked at, and every match.

    Raises:
      ValueError: an unknown benchmark, or a source or benchmark that cannot be opened.
    """
    evaluated = {name: _benchmark(name, place, save_hashes) for name, place in asked.items()}
    training, found = [], []
    distinct: set[bytes] = set()
    for entry, row in mix.items():
        read = sources.build(row["source"])
        seen = perceptual_hash.of_source(read, _shown(read, _spread(len(read), most)))[0]
        training.append({"row": entry, "source": read.name, "of": len(read), **_counts(seen)})
        distinct.update(bits.tobytes() for bits in seen.hashes.bits)
        for name, (views, _) in evaluated.items():
            found += _matches(name, seen.hashes, views)
    leaked = collections.Counter({name: 0 for name in asked})
    leaked.update(name for name, _ in {(m["benchmark"], m["picture"]) for m in found})
    return {
        "hash": f"PDQ, pdqhash {importlib.metadata.version('pdqhash')}",
        "differing_bits_at_most": perceptual_hash.MATCHED,
        "of_bits": perceptual_hash.BITS,
        "mirrored_too": True,
        "training": training,
        "training_pictures": len(distinct),
        "benchmarks": [{"benchmark": name, **row} for name, (_, row) in evaluated.items()],
        "leaked_pictures": dict(leaked),
        "matches": sorted(found, key=lambda m: (m["benchmark"], m["picture"], m["bits"])),
    }


def sentences(report: Mapping[str, Any]) -> list[str]:
    """What a report says, for people and model cards."""
    looked_at, twice = report.get("training_pictures"), ""
    if looked_at is None:  # earlier reports do not tell how many of them are the same
        looked_at = sum(row["pictures"] for row in report["training"])
        if len(report["training"]) > 1:
            twice = ", with those that several rows show counted in each,"
    named = dict.fromkeys(row["source"] for row in report["training"])
    lines = [
        f"{looked_at:,} training pictures of {', '.join(named)}{twice} were compared with those of "
        f"{len(report['leaked_pictures'])} benchmarks by {report['hash']}: a match has at most "
        f"{report['differing_bits_at_most']} of {report['of_bits']} bits that differ, mirrored or "
        "not; crops do not match."
    ]
    pictures = {row["benchmark"]: row["pictures"] for row in report["benchmarks"]}
    for name, count in report["leaked_pictures"].items():
        lines.append(f"{name}: {count} of {pictures[name]:,} pictures match")
    for row in [*report["training"], *report["benchmarks"]]:
        # Two rows of a mixture may show one source in different ways.
        said = row.get("source", row.get("benchmark"))
        said = f"{row['row']} ({said})" if "row" in row else said
        if row["plain"]:
            lines.append(f"{said}: {row['plain']} pictures are too plain to be compared")
        if row["bad"]:
            lines.append(f"{said}: {sum(row['bad'].values())} records could not be read")
        if row.get("of", 0) > row["records"]:
            lines.append(f"{said}: {row['records']:,} of {row['of']:,} records were looked at")
    return lines


def _benchmark(
    name: str, place: str, save_hashes: str
) -> tuple[tuple[Hashes, Hashes], dict[str, Any]]:
    """The hashes of a benchmark's pictures, upright and mirrored, and what was looked at."""
    if name not in benchmarks.BENCHMARKS:
        raise ValueError(
            f"unknown benchmark {name!r}: it must be one of {[*benchmarks.BENCHMARKS]}"
        )
    if place.endswith(".npz"):
        upright, mirrored = perceptual_hash.load(place)
        none: dict[str, Any] = {"records": 0, "plain": 0, "bad": {}}
        return (upright, mirrored), {"pictures": _pictures(upright), "hashes": place, **none}
    row = benchmarks.BENCHMARKS[name]
    read = benchmarks.open_source(row.source, 64, place)
    seen = perceptual_hash.of_source(read, _shown(read, range(min(len(read), row.records))))
    views = seen[0].hashes, seen[1].hashes
    if save_hashes:
        perceptual_hash.save(pathlib.Path(save_hashes, f"{name}.npz"), views)
    return views, {**_counts(seen[0]), "pictures": _pictures(views[0])}


def _pictures(hashes: Hashes) -> int:
    """How many pictures of a benchmark hashes are of: some are hashed cut and whole."""
    return len(set(hashes.names))


def _matches(name: str, training: Hashes, views: Sequence[Hashes]) -> list[dict[str, Any]]:
    """Each pair once, by the nearer of the two views."""
    found: dict[tuple[str, str], dict[str, Any]] = {}
    for view, mirrored in zip(views, (False, True), strict=True):
        for match in perceptual_hash.matches(training, view):
            pair = training.names[match.left], view.names[match.right]
            if pair not in found or match.bits < found[pair]["bits"]:
                found[pair] = {
                    "training": pair[0],
                    "benchmark": name,
                    "picture": pair[1],
                    "bits": match.bits,
                    "mirrored": mirrored,
                }
    return list(found.values())


def _counts(seen: Seen) -> dict[str, Any]:
    bad = collections.Counter(reason.partition(":")[0] for _, reason in seen.bad)
    pictures = len(seen.hashes.names)
    return {"records": seen.records, "pictures": pictures, "plain": seen.plain, "bad": dict(bad)}


def _spread(length: int, most: int) -> Iterable[int]:
    if not most or most >= length:
        return range(length)
    return np.unique(np.linspace(0, length - 1, most).astype(np.int64)).tolist()


def _shown(read: source.Source, records: Iterable[int]) -> Iterable[int]:
    return tqdm.tqdm(records, desc=read.name, unit="record", mininterval=1)


def read_mix(place: str, values: Sequence[str] = ()) -> dict[str, Any]:
    """The mixture of a run's folder, or of a config ("configs/x.py" or "configs/x.py:argument").

    Args:
      place: which.
      values: "key=value" for a config's dotted keys; a value is JSON, or else text.

    Raises:
      ValueError: it is neither, or a config has no such key.
    """
    run = epath.Path(place) / "config.json"
    if run.exists() and not values:
        return json.loads(run.read_text())["data"]["mixture"]
    path, _, argument = place.partition(":")
    if not path.endswith(".py") or not pathlib.Path(path).is_file():
        raise ValueError(f"{place} is no run's folder and no config: name one of them")
    config = runpy.run_path(path)["get_config"](*([argument] if argument else [])).lock()
    for value in values:
        key, _, text = value.partition("=")
        try:
            parsed = json.loads(text)
        except ValueError:
            parsed = text
        try:
            config.update_from_flattened_dict({key: parsed})
        except (KeyError, AttributeError, TypeError) as e:
            raise ValueError(f"--set {value} does not fit {place}: {e}") from e
    return config.data.mixture.to_dict()


def main(argv: Sequence[str] | None = None) -> int:
    """The command."""
    parser = _bad_input.Parser(description=__doc__)
    parser.add_argument("mix", help="a run's folder, or a config")
    parser.add_argument("--set", action="append", default=[], help="key=value of the config")
    parser.add_argument("--benchmark", action="append", default=[], help="NAME=FOLDER; repeat it")
    parser.add_argument("--most", type=int, default=0, help="records of each source; 0: all")
    parser.add_argument("--output", default="", help=f"the report; RUN/{FILE} unless given")
    parser.add_argument("--save_hashes", default="", help="folder for the benchmarks' hashes")
    asked = parser.parse_args(argv)
    with _bad_input.exits("leaks"):
        mix = read_mix(asked.mix, asked.set)
        output = asked.output or os.path.join(asked.mix, FILE)
        if not epath.Path(output).parent.is_dir():
            raise ValueError(f"{output} cannot be written: name the report's file (--output)")
        places = dict(text.partition("=")[::2] for text in asked.benchmark)
        if not places:
            raise ValueError("name at least one benchmark: --benchmark NAME=FOLDER")
        report = check(mix, places, most=asked.most, save_hashes=asked.save_hashes)
        folders.write_whole(output, json.dumps(report, indent=1))
    print("\n".join(sentences(report)))
    for match in report["matches"]:
        print(f"{match['training']} is {match['picture']} ({match['bits']} bits differ)")
    return 1 if report["matches"] else 0


if __name__ == "__main__":
    raise SystemExit(main())
