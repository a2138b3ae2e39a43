"""GenAI-Bench: 1,600 prompts for pictures, with the skills that each asks for.

The one of Li et al. 2024 (arXiv 2406.13743), not the GenAI-Arena's of the same name.

Where to get it: the Hugging Face set BaiqiL/GenAI-Bench-1600. Licence: Apache-2.0.

Expected tree:

    ROOT/genai_image.json       {"00001": {"prompt": ...}, ...}
    ROOT/genai_skills.json      {"counting": [1, 5, ...], ...}, numbers of prompts

There is no true picture: label and `valid` say so, and people or a judge do the scoring.
"""

from vision_banana.data import on_disk


def genai_bench(root: str) -> on_disk.OnDisk:
    """Image generation; `words` has `caption` and `skills`, names in the file's order."""
    files = [on_disk.file(root, f"genai_{what}.json") for what in ("image", "skills")]
    prompts, skills = map(on_disk.table, files)
    with on_disk.bad_index(files[1]):
        numbers = {skill: frozenset(map(int, listed)) for skill, listed in skills.items()}
    with on_disk.bad_index(files[0]):
        records = [
            on_disk.Record(
                key,
                None,
                {},
                {
                    "caption": row["prompt"],
                    "objects": (),
                    "relations": (),
                    "skills": tuple(skill for skill, of in numbers.items() if int(key) in of),
                },
            )
            for key, row in prompts.items()
        ]
    return on_disk.OnDisk("genai_bench", records, {"image_generation": on_disk.unreleased})
