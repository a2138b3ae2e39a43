"""Votes on disk: what a crash, a second process and another study do to them."""

import json
import os
import pathlib
import signal
import subprocess
import sys

import pytest
from test_preference_study import write

from vision_banana import prefer
from vision_banana.evaluation import preference_study, preference_votes
from vision_banana.evaluation.preference_votes import Votes

COUNT = 6


@pytest.fixture
def study(tmp_path):
    for i in range(COUNT):
        write(tmp_path / "ours", f"{i}", 1.0, f"prompt {i}", f"set/{i}")
        write(tmp_path / "theirs", f"{i}", 0.0, f"prompt {i}", f"set/{i}")
    return preference_study.read(str(tmp_path / "ours"), str(tmp_path / "theirs"))


@pytest.fixture
def path(tmp_path):
    return tmp_path / "new" / "votes.jsonl"


def vote_for_ours(votes, rater, count=COUNT, **options):
    for showing in votes.left_to(rater, **options)[:count]:
        votes.add(rater, showing, "left" if showing.ours_left else "right", **options)


def test_a_rater_goes_on_where_they_stopped(path, study):
    votes = Votes(path, study)
    order = preference_study.order(study, "ana")
    assert votes.left_to("ana") == order
    vote_for_ours(votes, "ana", 2)
    votes.close()
    votes = Votes(path, study)
    assert votes.repaired == ""
    assert votes.left_to("ana") == order[2:]
    assert votes.left_to("ben") == preference_study.order(study, "ben")
    assert votes.left_to("ana", judge=True) == order
    assert [r["vote"] for r in votes.records()] == [1, 1]
    votes.close()


def test_a_report_asks_no_judge(path, study, monkeypatch, capsys):
    monkeypatch.setattr(prefer, "ask", lambda *asked: pytest.fail("the judge was asked"))
    vote_for_ours(votes := Votes(path, study), "ana")  # people vote meanwhile
    folders = [str(study.pairs[0].ours.parent), str(study.pairs[0].theirs.parent)]
    assert prefer.main([*folders, f"--votes={path}", "--report", "--judge=operator:eq"]) == 0
    assert "| people | 100.0 |" in capsys.readouterr().out
    votes.close()


def test_a_line_says_who_what_and_when(path, study):
    votes = Votes(path, study)
    showing = votes.left_to("ana")[0]
    assert votes.add("ana", showing, "right")
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    assert lines[0] == {"study": study.digest, "pairs": COUNT}
    at = lines[1].pop("at")
    assert at.endswith("+00:00") and lines[1] == {
        "rater": "ana", "judge": False, "pair": showing.pair.name,
        "ours_left": showing.ours_left, "choice": "right", "vote": -1 if showing.ours_left else 1,
    }  # fmt: skip
    votes.close()


def test_the_first_vote_on_a_pair_stands(path, study):
    votes = Votes(path, study)
    showing = votes.left_to("ana")[0]
    assert votes.add("ana", showing, "tie")
    before = path.read_bytes()
    assert not votes.add("ana", showing, "left")
    assert path.read_bytes() == before
    with pytest.raises(ValueError, match="must be one of left"):
        votes.add("ben", showing, "up")
    assert path.read_bytes() == before
    votes.close()


@pytest.mark.parametrize("cut", [1, 20])
def test_half_a_line_is_cut_off_and_said(path, study, cut):
    votes = Votes(path, study)
    vote_for_ours(votes, "ana", 3)
    votes.close()
    whole = path.read_bytes()
    last = whole.splitlines(keepends=True)[-1]
    path.write_bytes(whole + last[: len(last) - 1 - cut])
    votes = Votes(path, study)
    assert "half a vote" in votes.repaired and '"rater": "ana"' in votes.repaired
    assert path.read_bytes() == whole and len(votes.records()) == 3
    vote_for_ours(votes, "ana", 1)
    votes.close()
    assert len(Votes(path, study).records()) == 4


def test_a_whole_line_without_its_end_is_kept(path, study):
    votes = Votes(path, study)
    vote_for_ours(votes, "ana", 2)
    votes.close()
    whole = path.read_bytes()
    path.write_bytes(whole[:-1])
    votes = Votes(path, study)
    assert "its vote is kept" in votes.repaired
    assert len(votes.records()) == 2 and path.read_bytes() == whole
    votes.close()


def test_half_a_first_line_begins_the_file_again(path, study):
    path.parent.mkdir()
    path.write_bytes(b'{"stu')
    votes = Votes(path, study)
    vote_for_ours(votes, "ana", 1)
    votes.close()
    assert len(Votes(path, study).records()) == 1


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (b"a token", "holds no votes: give --votes another file"),
        (b"\x89PNG\r\n\x1a\n\0\0", "line 1 is no record"),
        (b"first line\nhalf a li", "line 1 is no record"),
        (b'{"a": [1, 2]}', "votes of other pictures"),
        (b'{"study": "another", "pairs": 6}\n{"rater": "a', "votes of other pictures"),
        (b'{"study": "anoth', "holds no votes"),
    ],
)
def test_a_file_of_something_else_stays_as_it_is(path, study, data, says):
    path.parent.mkdir()
    path.write_bytes(data)
    for opened in (Votes, preference_votes.read):
        with pytest.raises(ValueError, match=says):
            opened(path, study)
        assert path.read_bytes() == data


def test_a_file_in_use_is_read_and_stays_as_it_is(path, study):
    votes = Votes(path, study)
    vote_for_ours(votes, "ana", 2)
    assert preference_votes.read(path, study) == votes.records()
    for cut, count in ((1, 2), (9, 1)):  # without the end of its line; half a line
        data = path.read_bytes()[:-cut]
        path.write_bytes(data)
        assert preference_votes.read(path, study) == votes.records()[:count]
        assert path.read_bytes() == data
    votes.close()


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", "line 2 is no record"),
        ("[1]", "line 2 is no record .no JSON object"),
        ('{"rater": "ana"}', "line 2 is no vote .judge, pair, ours_left, choice, vote"),
        ('{"rater": "a", "judge": false, "pair": "0", "ours_left": true, "choice": "left", '
         '"vote": 2}', "line 2 is no vote .vote"),
    ],
)  # fmt: skip
def test_a_damaged_line_is_named_and_nothing_is_changed(path, study, line, says):
    Votes(path, study).close()
    damaged = path.read_text() + line + "\n"
    path.write_text(damaged)
    with pytest.raises(ValueError, match=says):
        Votes(path, study)
    assert path.read_text() == damaged


def test_votes_of_other_pictures_are_refused(path, study, tmp_path):
    Votes(path, study).close()
    write(tmp_path / "ours", "0", 1.0, "another prompt", "set/0")
    write(tmp_path / "theirs", "0", 0.0, "another prompt", "set/0")
    other = preference_study.read(str(tmp_path / "ours"), str(tmp_path / "theirs"))
    with pytest.raises(ValueError, match="votes of other pictures than these"):
        Votes(path, other)


def test_one_process_at_a_time(path, study):
    votes = Votes(path, study)
    with pytest.raises(ValueError, match="in use by another process"):
        Votes(path, study)
    votes.close()
    Votes(path, study).close()


def test_a_full_disk_leaves_no_half_vote(path, study, monkeypatch):
    votes = Votes(path, study)
    vote_for_ours(votes, "ana", 1)
    before = path.read_bytes()
    write_some = os.write

    def full(file, data):
        if len(data) < 30:
            raise OSError(28, "No space left on device")
        return write_some(file, data[:-20])

    showing = votes.left_to("ana")[0]
    monkeypatch.setattr(preference_votes.os, "write", full)
    with pytest.raises(OSError, match="No space left"):
        votes.add("ana", showing, "left")
    monkeypatch.undo()
    assert path.read_bytes() == before
    assert votes.add("ana", showing, "left")
    votes.close()
    assert len(Votes(path, study).records()) == 2


def test_a_vote_is_on_the_disk_when_it_is_confirmed(path, study, monkeypatch):
    votes = Votes(path, study)
    synced = []
    monkeypatch.setattr(
        preference_votes.os, "fsync", lambda file: synced.append(path.read_bytes().count(b"\n"))
    )
    vote_for_ours(votes, "ana", 2)
    assert synced == [2, 3]
    votes.close()


def test_a_killed_process_loses_no_confirmed_vote(path, study):
    ours = study.pairs[0].ours.parent
    code = (
        "import sys\n"
        "from vision_banana.evaluation import preference_study\n"
        "from vision_banana.evaluation.preference_votes import Votes\n"
        f"study = preference_study.read({str(ours)!r}, {str(ours.parent / 'theirs')!r})\n"
        f"votes = Votes({str(path)!r}, study)\n"
        "for i in range(10000):\n"
        "    showing = votes.left_to(f'rater {i}')[0]\n"
        "    votes.add(f'rater {i}', showing, 'left')\n"
        "    print(i, flush=True)\n"
    )
    root = pathlib.Path(preference_votes.__file__).parents[2]
    process = subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, cwd=root
    )
    said = [process.stdout.readline() for _ in range(20)]
    process.send_signal(signal.SIGKILL)
    said += process.stdout.readlines()
    process.wait()
    votes = Votes(path, study)
    confirmed = {f"rater {line.strip()}" for line in said if line.endswith("\n")}
    assert len(confirmed) >= 20
    assert confirmed <= {record["rater"] for record in votes.records()}
    votes.close()
