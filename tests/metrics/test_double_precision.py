import jax
import jax.numpy as jnp
import numpy as np
import pytest

from vision_banana.metrics import double_precision


@double_precision.jit
def _sum_and_type(x):
    return {"sum": jnp.sum(x), "bytes": x.dtype.itemsize * jnp.ones(())}


def test_all_digits_are_kept_and_only_here():
    # In float32 1e-9 would vanish beside 1.
    found = _sum_and_type(np.array([1.0, 1e-9]))
    assert isinstance(found["sum"], np.ndarray) and found["sum"].dtype == np.float64
    assert found["sum"] == 1.0 + 1e-9 and found["bytes"] == 8
    assert jnp.asarray(np.array([1.0])).dtype == jnp.float32


def test_runs_where_transfers_must_be_asked_for():
    with jax.transfer_guard("disallow"):
        assert _sum_and_type(np.array([1.0, 2.0, 3.0]))["sum"] == 6


def test_a_hidden_cpu_is_named(monkeypatch):
    def none(backend):
        raise RuntimeError(f"Unknown backend {backend}")

    monkeypatch.setattr(jax, "local_devices", none)
    with pytest.raises(RuntimeError, match=r"JAX_PLATFORMS=cpu hides.*set it to cpu,cpu"):
        _sum_and_type(np.ones(2))
