import os
import re
import sys
from pathlib import Path

import numpy as np
import pytest

from embedkit._internal.sealed import BLOCK, DamagedFile, SealedFile, sealed


def written(file: Path, content: bytes) -> Path:
    with sealed(file) as temporary:
        temporary.write_bytes(content)
    return file


def random_bytes(count: int) -> bytes:
    return np.random.default_rng(0).bytes(count)


@pytest.mark.parametrize("size", [0, 1, BLOCK - 1, BLOCK, BLOCK + 1, 40 * BLOCK + 7])
def test_content_of_any_size_is_read_back(tmp_path: Path, size: int) -> None:
    content = random_bytes(size)
    file = SealedFile(written(tmp_path / "file", content))
    file.check()
    assert len(file) == size
    assert file.array("u1", (size,)).tobytes() == content
    assert os.listdir(tmp_path) == ["file"]


def test_any_flipped_bit_is_detected_whatever_the_file_times(tmp_path: Path) -> None:
    file = written(tmp_path / "file", random_bytes(2 * BLOCK + 100))
    whole, status = file.read_bytes(), file.stat()
    random = np.random.default_rng(1)
    edges = [0, BLOCK - 1, BLOCK, 2 * BLOCK + 99, *range(2 * BLOCK + 100, len(whole))]
    for place in [*edges, *random.integers(0, len(whole), 300).tolist()]:
        damaged = bytearray(whole)
        damaged[place] ^= 1 << int(random.integers(8))
        file.write_bytes(damaged)
        os.utime(file, ns=(status.st_atime_ns, status.st_mtime_ns))
        with pytest.raises(DamagedFile):
            SealedFile(file).check()


@pytest.mark.parametrize("seed", range(20))
def test_larger_damage_is_detected(tmp_path: Path, seed: int) -> None:
    file = written(tmp_path / "file", random_bytes(3 * BLOCK))
    random = np.random.default_rng(seed)
    whole = bytearray(file.read_bytes())
    sector, other = (512 * int(number) for number in random.permutation(3 * BLOCK // 512)[:2])
    kind = seed % 4
    if kind == 0:  # a sector of zeros
        whole[sector : sector + 512] = bytes(512)
    elif kind == 1:  # two sectors swapped
        one, two = whole[sector : sector + 512], whole[other : other + 512]
        whole[sector : sector + 512], whole[other : other + 512] = two, one
    elif kind == 2:  # the signs of two numbers of one block flipped
        for place in random.permutation(BLOCK // 4)[:2].tolist():
            whole[4 * place + 3] ^= 0x80
    else:  # a sector of other content
        whole[sector : sector + 512] = random.bytes(512)
    file.write_bytes(whole)
    with pytest.raises(DamagedFile):
        SealedFile(file).check()


@pytest.mark.parametrize("size", [0, 10, 100, BLOCK, BLOCK + 90])
def test_a_truncated_or_extended_file_is_damaged(tmp_path: Path, size: int) -> None:
    file = written(tmp_path / "file", random_bytes(2 * BLOCK))
    whole = file.read_bytes()
    for damaged in (whole[:size], whole + b"x" * (size + 1)):
        file.write_bytes(damaged)
        with pytest.raises(DamagedFile):
            SealedFile(file)


def test_only_the_parts_that_are_read_are_checked(tmp_path: Path) -> None:
    width = 400
    rows = np.arange(10 * BLOCK, dtype=np.uint8)[: 10 * BLOCK // width * width]
    file = written(tmp_path / "file", rows.tobytes())
    with open(file, "r+b") as stream:
        stream.seek(5 * BLOCK + 7)
        stream.write(b"?!")
    opened = SealedFile(file)
    opened.check(0, 5 * BLOCK)
    opened.check_rows(np.array([[0, 3], [1500, 1000]]), width)
    with pytest.raises(DamagedFile):
        opened.check(5 * BLOCK - 1, 5 * BLOCK + 1)
    with pytest.raises(DamagedFile):  # a row that begins in the block before
        opened.check_rows(np.array([5 * BLOCK // width]), width)
    opened.check(6 * BLOCK)


def test_an_intact_file_in_place_of_another_is_detected(tmp_path: Path) -> None:
    digest = SealedFile(written(tmp_path / "file", b"one")).digest
    assert SealedFile(tmp_path / "file", digest).array("u1", (3,)).tobytes() == b"one"
    written(tmp_path / "file", b"two")
    with pytest.raises(DamagedFile, match="not the file that"):
        SealedFile(tmp_path / "file", digest)


def test_reading_past_the_end_raises_an_error(tmp_path: Path) -> None:
    file = SealedFile(written(tmp_path / "file", bytes(80)))
    assert file.array("<i8", (9,), 8).tolist() == [0] * 9
    for shape in ((11,), (-1,), (2**40, 2**40)):
        with pytest.raises(DamagedFile):
            file.array("<i8", shape)


def test_a_named_pipe_in_place_of_a_file_is_an_error_and_does_not_block(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "file")
    with pytest.raises(OSError, match="Not a regular file"):
        SealedFile(tmp_path / "file")


def resident_kilobytes(file: Path) -> int:
    """Return how much of a mapped file is in the memory of this process."""
    maps = Path("/proc/self/smaps").read_text()
    found = re.findall(rf"{re.escape(str(file))}\nSize:.*?\nRss: +([0-9]+) kB", maps, re.DOTALL)
    assert found, "the file is not mapped"
    return sum(map(int, found))


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_released_pages_are_given_up_and_read_again(tmp_path: Path) -> None:
    content = np.random.default_rng(0).bytes(64 * BLOCK)
    with sealed(tmp_path / "file") as temporary:
        temporary.write_bytes(content)
    file = SealedFile(tmp_path / "file")
    file.check()
    assert resident_kilobytes(file.file) > len(content) // 2048
    file.release_pages()
    assert resident_kilobytes(file.file) == 0
    assert file.array("u1", (len(content),)).tobytes() == content
