import jax
import jax.numpy as jnp
import pytest
import tiny_run

from vision_banana import train
from vision_banana.training import step_profile


def test_steps_in_words():
    assert list(step_profile.parse("20:23")) == [20, 21, 22] and not step_profile.parse("")
    for text in ("20", "5:5", "6:5", "a:b", ":"):
        with pytest.raises(ValueError, match="FIRST:END"):
            step_profile.parse(text)


def recorded(folder):
    """Names of the program's calls in the one profile of a folder."""
    [file] = (folder / "profile").rglob("*.xplane.pb")
    data = jax.profiler.ProfileData.from_file(str(file))
    return [e.name for plane in data.planes for line in plane.lines for e in line.events]


@pytest.mark.parametrize("last", [6, 3])  # the run ends after the recorded steps, or among them
def test_only_the_steps_that_were_asked_for_are_recorded(tmp_path, last):
    profile = step_profile.StepProfile(str(tmp_path), range(1, 3 if last == 6 else 9))
    state = jnp.zeros(3)
    for step in range(last):
        profile.before(step, state)
        with jax.profiler.TraceAnnotation(f"my_step_{step}"):
            state = state + 1
    profile.close()
    seen = {name for name in recorded(tmp_path) if name.startswith("my_step_")}
    assert seen == {"my_step_1", "my_step_2"}


def test_nothing_is_recorded_unless_asked(tmp_path):
    profile = step_profile.StepProfile(str(tmp_path), range(0))
    profile.before(0, None)
    profile.close()
    assert not (tmp_path / "profile").exists()


def test_a_run_leaves_the_profile_in_its_folder(tmp_path, monkeypatch):
    tiny_run.install(monkeypatch)
    train.train(tiny_run.config(steps=3), str(tmp_path), profile_steps=range(1, 2))
    assert any("train_step" in name or "jit_step" in name for name in recorded(tmp_path))
    assert (tmp_path / "checkpoints" / "3").exists()
