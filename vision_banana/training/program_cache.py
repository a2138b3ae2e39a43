"""Compiled programs that outlive a process."""

import jax

VARIABLE = "JAX_COMPILATION_CACHE_DIR"
FOLDER = "compiled"
_SETTING = "jax_compilation_cache_dir"


def keep_in(folder: str) -> str:
    """Keeps compiled programs in a run's folder, so that its next start needs no compiling.

    A program is found again where the code, the config, the package versions and the kind of
    device are the same. A cache that the user chose (`JAX_COMPILATION_CACHE_DIR`) stays.

    Returns:
      The folder of the cache.
    """
    chosen = jax.config.values[_SETTING]
    if not chosen:
        chosen = f"{folder.rstrip('/')}/{FOLDER}"
        jax.config.update(_SETTING, chosen)
    return str(chosen)
