"""The table of compilations, with a compiler that only says how it ended."""

import subprocess
import types

import pytest

from experiments.pod import table

ROW = table.Row(table.ONE, "v5e:16x16")


@pytest.fixture
def compile_with(tmp_path, monkeypatch):
    """Makes the row's report with a compiler of that exit code and those last words."""
    found = types.SimpleNamespace(find_spec=lambda _: "libtpu")
    monkeypatch.setattr(table, "importlib", types.SimpleNamespace(util=found))
    monkeypatch.setattr(table, "RESULTS", tmp_path)
    monkeypatch.setattr(table, "ROWS", (ROW,))

    def compile_missing(*ended):
        done = subprocess.CompletedProcess([], *ended)
        monkeypatch.setattr(table.subprocess, "run", lambda *_, **__: done)
        table.compile_missing()
        return table.table().splitlines()[2:]

    return compile_missing


def test_what_does_not_fit_is_a_row_for_good(compile_with):
    (row,) = compile_with(1, "a remark\ndoes not fit on v5e:16x16: it needs 20 GiB\n", "noise")
    assert row.startswith("| 1b pretrain | v5e:16x16 | 256 | does not fit on v5e:16x16: it needs")
    assert compile_with(1, "", "not asked again") == [row]


@pytest.mark.parametrize(
    ("code", "said"), [(1, "MemoryError"), (2, "compile: no libtpu"), (-9, "killed"), (1, "")]
)
def test_what_went_wrong_here_stops_and_leaves_no_row(code, said, compile_with, tmp_path):
    with pytest.raises(SystemExit, match=f"exit {code}: {said}\n"):
        compile_with(code, "", f"Traceback\n{said}\n" if said else "")
    assert not list(tmp_path.iterdir())
