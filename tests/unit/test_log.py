import io
import json
import os
import threading
from pathlib import Path

import pytest
from rich.console import Console

from harness import log, progress


def test_a_step_tells_its_beginning_its_end_and_its_seconds() -> None:
    events: list[log.Event] = []
    with log.sink(events.append), log.step("flash", board="b1"):
        log.progress("flash", 1, 2)
    assert [event["event"] for event in events] == ["begin", "progress", "end"]
    assert all(event["step"] == "flash" for event in events)
    assert events[0]["board"] == events[2]["board"] == "b1"
    assert 0 <= events[2]["seconds"] < 1


def test_a_failing_step_tells_why_and_the_error_goes_on() -> None:
    events: list[log.Event] = []
    with log.sink(events.append), pytest.raises(ValueError, match="bad"), log.step("build"):
        raise ValueError("bad")
    assert events[-1]["event"] == "failed"
    assert events[-1]["error"] == "bad"


def test_a_sink_is_gone_after_its_block() -> None:
    events: list[log.Event] = []
    with pytest.raises(ValueError), log.sink(events.append):
        raise ValueError
    log.emit("later")
    assert events == []


def test_json_lines_are_whole_whatever_the_number_of_threads(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"

    def work(number: int) -> None:
        for _ in range(50):
            with log.step("work", number=number, folder=tmp_path):
                pass

    with log.json_lines(file):
        threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    events = [json.loads(line) for line in file.read_text().splitlines()]
    assert len(events) == 4 * 50 * 2


def test_events_that_nobody_takes_any_more_change_no_outcome(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    """What is done is done, a promotion for one: its events are lost, and that is told."""
    file = tmp_path / "events"
    os.mkfifo(file)
    reading = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
    with log.json_lines(file), log.step("promote"):
        os.close(reading)
    assert f"{file}: Broken pipe: no more events are kept" in caplog.text


def test_a_reader_that_stops_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(log, "_PATIENCE", 0.1)
    file = tmp_path / "events"
    os.mkfifo(file)
    reading = os.open(file, os.O_RDONLY | os.O_NONBLOCK)
    with log.json_lines(file):
        for _ in range(40):
            log.emit("more", text="x" * 4096)
    os.close(reading)
    assert f"{file}: its reader has stopped: no more events are kept" in caplog.text


def shown(*, terminal: bool) -> str:
    """What a person sees of two steps, one of which fails."""
    stream = io.StringIO()
    console = Console(file=stream, force_terminal=terminal, width=100)
    with progress.shown(console):
        with log.step("flash", board="b1"):
            log.progress("flash", 1, 2)
        with pytest.raises(ValueError), log.step("boot"):
            raise ValueError("no kernel\nsecond line")
        log.emit("verdict", verdict="old")
    return stream.getvalue()


def test_progress_is_one_line_a_step_where_there_is_no_terminal() -> None:
    first, second = shown(terminal=False).splitlines()
    assert first.split() == ["0.0", "s", "flash", "board=b1"]
    assert second.split() == ["0.0", "s", "boot:", "no", "kernel"]


def test_progress_is_live_on_a_terminal() -> None:
    text = shown(terminal=True)
    assert "flash board=b1" in text
    assert "boot: no kernel" in text
    assert "\x1b[?25l" in text  # the cursor is hidden while the display is live ...
    assert text.rstrip().endswith("\x1b[?25h") or "\x1b[?25h" in text  # ... and shown again
