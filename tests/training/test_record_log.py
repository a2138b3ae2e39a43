import jax

from vision_banana.training import record_log


def test_records_of_several_processes_are_read_in_the_order_of_the_batch(tmp_path, monkeypatch):
    monkeypatch.setattr(jax, "process_count", lambda: 2)
    logs = []
    for process in range(2):
        monkeypatch.setattr(jax, "process_index", lambda process=process: process)
        logs.append(record_log.RecordLog(str(tmp_path), 0, on=True))
    logs[0].write(1, (0, 3), ["a", "d"])
    logs[1].write(1, (1, 2), ["b", "c"])
    # Groups without reference pictures have a record for each query.
    logs[1].write(2, (1, 2), ["c", "d", "e", "f"])
    logs[0].write(2, (0, 3), ["a", "b", "g", "h"])
    for log in logs:
        log.close()
    assert record_log.read(str(tmp_path)) == {1: list("abcd"), 2: list("abcdefgh")}


def test_what_evaluations_keep_in_the_folder_is_left_alone(tmp_path):
    log = record_log.RecordLog(str(tmp_path), 0, on=True)
    log.write(1, (0,), ["a"])
    log.close()
    scored = tmp_path / record_log.FOLDER / "0a1b-0.jsonl"
    scored.write_text('{"settings": {}}\n{"record": 0, "ta')  # still being written
    record_log.RecordLog(str(tmp_path), 1, on=True).close()
    assert record_log.read(str(tmp_path)) == {1: ["a"]}
    assert scored.read_text().endswith('{"record": 0, "ta')
