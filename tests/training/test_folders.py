"""Files that are written whole or not at all."""

import pytest
from etils import epath

from vision_banana.training import folders


def test_text_and_bytes_are_written(tmp_path):
    assert folders.write_whole(tmp_path / "a", "é") == epath.Path(tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"\xc3\xa9"
    folders.write_whole(str(tmp_path / "a"), b"\x00")
    assert (tmp_path / "a").read_bytes() == b"\x00"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, OSError, SystemExit])
def test_what_ends_a_write_leaves_the_old_file_alone(tmp_path, monkeypatch, error):
    (tmp_path / "a").write_text("old")

    def stop(path, data):
        path.write_text("ha")
        raise error

    monkeypatch.setattr(type(epath.Path(tmp_path)), "write_bytes", stop)
    with pytest.raises(error):
        folders.write_whole(tmp_path / "a", "new")
    assert (tmp_path / "a").read_text() == "old"
    assert [path.name for path in tmp_path.iterdir()] == ["a"]


def test_a_folder_of_the_files_name_is_said(tmp_path):
    (tmp_path / "page").mkdir()
    with pytest.raises(IsADirectoryError, match=r"page is a directory$"):
        folders.write_whole(tmp_path / "page", "x")
    assert [path.name for path in tmp_path.iterdir()] == ["page"]


def test_an_error_names_the_file_that_was_asked_for(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nofolder/x\.npz'$"):
        folders.write_whole(tmp_path / "nofolder" / "x.npz", b"x")
