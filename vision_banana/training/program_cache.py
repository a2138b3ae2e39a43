"""Compiled programs that outlive a process."""

import os

import jax

VARIABLE = "JAX_COMPILATION_CACHE_DIR"
FOLDER = "compiled"
_SETTING = "jax_compilation_cache_dir"
_LEAST = "jax_persistent_cache_min_compile_time_secs"
_LEAST_SECONDS = 0.1  # by default 1; an accelerator's first save compiles many small programs


def keep_in(folder: str) -> str:
    """Keeps compiled programs in a run's folder, so that its next start needs no compiling.

    A program is found again where the code, the config, the package versions and the kind of
    device are the same. What the user chose stays: a cache (`JAX_COMPILATION_CACHE_DIR`), and how
    long a program must compile to be kept (`JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS`).

    Returns:
      The folder of the cache.
    """
    chosen = jax.config.values[_SETTING]
    if not chosen:
        chosen = f"{folder.rstrip('/')}/{FOLDER}"
        jax.config.update(_SETTING, chosen)
    if _LEAST.upper() not in os.environ:
        jax.config.update(_LEAST, _LEAST_SECONDS)
    return str(chosen)
