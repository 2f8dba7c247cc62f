import subprocess
import sys
from pathlib import Path

import pytest

from embedkit._internal.locks import exclusive_lock
from embedkit.errors import EmbedkitError

HOLDER = """
import sys
from pathlib import Path
from embedkit.errors import EmbedkitError
from embedkit._internal.locks import exclusive_lock
with exclusive_lock(Path(sys.argv[1]), EmbedkitError("busy")):
    print("held", flush=True)
    sys.stdin.read()
"""


def test_a_lock_is_exclusive_and_leaves_no_file(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    with exclusive_lock(file, EmbedkitError("busy")):
        for _ in range(2):
            with (
                pytest.raises(EmbedkitError, match="busy"),
                exclusive_lock(file, EmbedkitError("busy")),
            ):
                pytest.fail("two hold it")
    with pytest.raises(RuntimeError), exclusive_lock(file, EmbedkitError("busy")):
        raise RuntimeError
    assert list(tmp_path.iterdir()) == []


def test_a_lock_ends_with_its_process(tmp_path: Path) -> None:
    file = tmp_path / "lock"
    with subprocess.Popen(
        [sys.executable, "-c", HOLDER, str(file)], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as other:
        assert other.stdout is not None
        assert other.stdout.readline().strip() == b"held"
        with (
            pytest.raises(EmbedkitError, match="busy"),
            exclusive_lock(file, EmbedkitError("busy")),
        ):
            pytest.fail("two hold it")
        other.kill()
        other.wait()
    assert file.exists()
    with exclusive_lock(file, EmbedkitError("busy")):
        pass
    assert not file.exists()


def test_a_lock_is_acquired_again_if_its_file_was_removed_meanwhile(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from embedkit._internal import locks

    file, lock = tmp_path / "lock", locks._lock
    taken: list[int] = []

    def late(descriptor: int, busy: EmbedkitError) -> None:
        if not taken:
            file.unlink()
        lock(descriptor, busy)
        taken.append(descriptor)

    monkeypatch.setattr(locks, "_lock", late)
    with exclusive_lock(file, EmbedkitError("busy")):
        assert len(taken) == 2
        assert file.exists()
