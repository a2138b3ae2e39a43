import jax
import pytest
from jax.experimental.compilation_cache import compilation_cache

from vision_banana.training import program_cache

NAME = "jax_compilation_cache_dir"
LEAST = {  # small programs are kept too
    "jax_persistent_cache_min_compile_time_secs": 0.0,
    "jax_persistent_cache_min_entry_size_bytes": 0,
}


@pytest.fixture(autouse=True)
def restored():
    before = {name: jax.config.values[name] for name in (NAME, *LEAST)}
    jax.config.update(NAME, None)
    compilation_cache.reset_cache()
    yield
    for name, value in before.items():
        jax.config.update(name, value)
    compilation_cache.reset_cache()


def test_programs_lie_in_the_run_s_folder(tmp_path):
    folder = program_cache.keep_in(f"{tmp_path}/")
    assert folder == f"{tmp_path}/compiled"
    for name, least in LEAST.items():
        jax.config.update(name, least)
    jax.jit(lambda x: x * 3 + 1).lower(1.0).compile()
    assert list((tmp_path / "compiled").iterdir())


def test_programs_that_compile_in_less_than_a_second_are_kept_unless_the_user_chose(
    tmp_path, monkeypatch
):
    least = "jax_persistent_cache_min_compile_time_secs"
    jax.config.update(least, 5.0)
    monkeypatch.setenv(least.upper(), "5")
    program_cache.keep_in(str(tmp_path))
    assert jax.config.values[least] == 5
    monkeypatch.delenv(least.upper())
    program_cache.keep_in(str(tmp_path))
    assert jax.config.values[least] == 0.1


def test_a_cache_of_the_user_stays(tmp_path):
    jax.config.update(NAME, "mine")
    assert program_cache.keep_in(str(tmp_path)) == "mine"
    assert jax.config.values[NAME] == "mine"
