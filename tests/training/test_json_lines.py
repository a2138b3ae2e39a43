import pytest

from vision_banana.training import json_lines
from vision_banana.training.json_lines import JsonLines


def write(path, *steps, **options):
    file = JsonLines(path, **options)
    for step in steps:
        file.write({"step": step})
    file.close()


def test_lines_are_there_at_once_and_added_to(tmp_path):
    path = tmp_path / "a" / "x.jsonl"
    file = JsonLines(path)
    file.write({"step": 1})
    assert json_lines.read(path) == [{"step": 1}]  # before it is closed
    file.close()
    write(path, 2)
    assert json_lines.read(path) == [{"step": 1}, {"step": 2}]


def test_half_a_line_of_a_killed_process_is_dropped(tmp_path):
    path = tmp_path / "x.jsonl"
    write(path, 1, 2)
    path.write_text(path.read_text() + '{"step": 3, "lo')
    assert json_lines.read(path) == [{"step": 1}, {"step": 2}]
    write(path, 3)
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n{"step": 3}\n'


def test_a_last_record_without_its_end_is_kept(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"step": 1}\n{"step": 2}')
    assert json_lines.read(path) == [{"step": 1}, {"step": 2}]
    write(path, 3)
    assert path.read_text() == '{"step": 1}\n{"step": 2}\n{"step": 3}\n'


@pytest.mark.parametrize("text", ["[1, 2]", "a token", '{\n "step": 1\n}', "notes\nand half a li"])
def test_a_file_of_something_else_stays_as_it_is(tmp_path, text):
    path = tmp_path / "x.jsonl"
    path.write_text(text)
    with pytest.raises(ValueError, match=r"x.jsonl, line 1 is no record"):
        JsonLines(path)
    assert path.read_text() == text


def test_lines_of_steps_that_are_done_again_are_dropped(tmp_path):
    path = tmp_path / "x.jsonl"
    write(path, 1, 2, 3, 4)
    write(path, 3, 4, 5, start_step=2)
    assert [line["step"] for line in json_lines.read(path)] == [1, 2, 3, 4, 5]


def test_a_line_that_is_no_record_is_named(tmp_path):
    path = tmp_path / "x.jsonl"
    path.write_text('{"step": 1}\n[2]\n')
    with pytest.raises(ValueError, match=r"x.jsonl, line 2 is no record .*\[2\]"):
        JsonLines(path)
    assert path.read_text() == '{"step": 1}\n[2]\n'
