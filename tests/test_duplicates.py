"""Pairs, evidence, groups and verdicts, on drawn photos and altered copies of them."""

import csv
import json
import shutil
from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace
from itertools import combinations, permutations
from pathlib import Path

import imagehash
import numpy as np
import pytest
from click.testing import CliRunner
from conftest import draw_photo
from PIL import Image, ImageOps

from embedkit import Workspace
from embedkit.catalog import LiveFile
from embedkit.cleaning.plan import write_plan
from embedkit.cleaning.planning import PlanOptions, plan_rows
from embedkit.cli.app import embedkit
from embedkit.duplicates import (
    candidates,
    distribution,
    find,
    groups,
    pair_search,
    pixels,
    semantic,
)
from embedkit.duplicates.candidates import max_bits_within, pairs_by_hash
from embedkit.duplicates.evidence import ImageEmbeddings, copy_probability, min_similarity
from embedkit.duplicates.groups import Link, build_groups
from embedkit.duplicates.hamming import Pairs, near_pairs_between
from embedkit.duplicates.orientations import ORIENTATIONS, orient_all, oriented_hashes
from embedkit.duplicates.similarity import Outlines, descriptors, downsampled, similarity
from embedkit.duplicates.stars import build_stars
from embedkit.errors import BadInput, EmptyWorkspace
from embedkit.images.fingerprint import luma_thumbnail
from embedkit.results import (
    COPY,
    DIFFERENT,
    OPEN,
    Change,
    DuplicateGroup,
    Duplicates,
    Examination,
    FileMetadata,
)

Alter = Callable[[Image.Image], Image.Image]
ALTERED: dict[str, Alter] = {
    "smaller": lambda image: image.resize((160, 120)),
    "larger": lambda image: image.resize((640, 480)),
    "grey": ImageOps.grayscale,
    "mirrored": ImageOps.mirror,
    "rotated": lambda image: image.transpose(Image.Transpose.ROTATE_90),
    "cropped": lambda image: image.crop((12, 8, 308, 230)),
    "bordered": lambda image: ImageOps.expand(image, 8, "black"),
}


def luma(image: Image.Image) -> np.ndarray:
    return np.frombuffer(luma_thumbnail(image).tobytes(), np.uint8)


def names(group: DuplicateGroup) -> list[str]:
    return [Path(member.path).name for member in group.members]


def sets(found: Duplicates) -> set[frozenset[str]]:
    return {frozenset(names(group)) for group in found.groups}


@pytest.fixture
def messy(photos: Path) -> Path:
    """Twelve photos, with altered copies of one under ``red`` and an exact copy of another."""
    original = Image.open(photos / "red/0.jpg")
    for name, alter in ALTERED.items():
        alter(original).save(photos / f"red/{name}.jpg", quality=90)
    original.save(photos / "red/pixels.png")
    shutil.copy(photos / "blue/7.jpg", photos / "blue/copy of 7.jpg")
    return photos


@pytest.fixture
def filled(workspace: Workspace, messy: Path) -> Workspace:
    workspace.add(messy, labels_from_folders=True)
    return workspace


COPIES = frozenset(["0.jpg", "pixels.png", *(f"{name}.jpg" for name in ALTERED)])


# -- search -----------------------------------------------------------------------------------


def test_altered_copies_form_one_group_around_the_largest(filled: Workspace) -> None:
    found = filled.duplicates()
    assert sets(found) == {COPIES, frozenset(["7.jpg", "copy of 7.jpg"])}
    exact, combined = found.groups
    assert (exact.kind, exact.score, exact.conflict) == ("exact", 1.0, False)
    assert [(member.hamming, member.distance) for member in exact.members] == [(0, 0.0)] * 2
    assert (combined.kind, names(combined)[0]) == ("combined", "larger.jpg")
    assert combined.representative == combined.members[0].path
    assert combined.score == min(member.score for member in combined.members) > 0.5
    assert [member.score for member in combined.members] == sorted(
        (member.score for member in combined.members), reverse=True
    )
    assert found.images == 20


@pytest.mark.slow
@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("exact", {frozenset(["7.jpg", "copy of 7.jpg"])}),
        ("pixels", {frozenset(["0.jpg", "pixels.png"])}),
        (
            "perceptual",
            {frozenset(["larger.jpg", "0.jpg", "pixels.png", "smaller.jpg", "grey.jpg"])},
        ),
    ],
)
def test_each_kind_finds_its_own_duplicates(
    filled: Workspace, kind: str, expected: set[frozenset[str]]
) -> None:
    found = filled.duplicates([kind], max_hamming=4 if kind == "perceptual" else None)
    assert sets(found) == expected
    assert {group.kind for group in found.groups} == {kind}


def test_perceptual_duplicates_may_be_rotated_on_request(filled: Workspace) -> None:
    straight = {"larger.jpg", "0.jpg", "pixels.png", "smaller.jpg", "grey.jpg"}
    found = filled.duplicates(["perceptual"], max_hamming=4, any_orientation=True)
    assert sets(found) == {frozenset(straight | {"mirrored.jpg", "rotated.jpg"})}
    once = filled.duplicates(["perceptual"], max_hamming=4)
    assert sets(once) == {frozenset(straight)}
    assert found.chance_hamming == pytest.approx(ORIENTATIONS * once.chance_hamming)


def test_perceptual_pairs_of_256_bits_match_brute_force(filled: Workspace) -> None:
    with filled._catalog.read() as reader:
        ids = reader.images.fingerprints().column("image_id").to_numpy()
        hashes = oriented_hashes(reader.images.lumas(ids), side=16)[:, 0]
    distance = np.bitwise_count(hashes[:, None] ^ hashes[None]).sum(axis=2)
    first, second = np.nonzero(np.triu(distance <= 40, 1))
    expected = {
        (int(min(ids[i], ids[j])), int(max(ids[i], ids[j])), int(distance[i, j]))
        for i, j in zip(first, second, strict=True)
    }
    found = filled.duplicates(["perceptual"], hash_bits=256)
    assert (found.hash_bits, found.max_hamming) == (256, 40)
    with filled._catalog.read() as reader:
        rows = reader.session.rows("SELECT first_id, second_id, hamming FROM pairs")
    assert set(rows) == expected and any(bits > 10 for _, _, bits in expected)


def test_in_a_large_collection_hashes_alone_do_not_suffice(
    filled: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pair_search, "RELIABLE_UP_TO", 5)
    (group,) = filled.duplicates(["perceptual"], max_hamming=10).groups
    assert "grey.jpg" in names(group)
    monkeypatch.setattr(pair_search, "MIN_PERCEPTUAL_SIMILARITY", 1.1)
    assert filled.duplicates(["perceptual"], max_hamming=9).groups == ()


def test_semantic_pairs_match_brute_force(filled: Workspace) -> None:
    from embedkit.index.metric import distances

    with filled._catalog.read() as reader:
        (spec,) = reader.backbones.all()
        chunks = list(reader.embeddings.chunks(spec.spec.digest))
    ids = np.concatenate([some for some, _ in chunks])
    vectors = np.concatenate([some for _, some in chunks])
    limit = 0.02
    expected = {
        (int(min(ids[i], ids[j])), int(max(ids[i], ids[j])))
        for i, j in combinations(range(len(ids)), 2)
        if distances(vectors[i], vectors[j : j + 1])[0] <= limit
    }
    filled.duplicates(["semantic"], max_distance=limit)
    with filled._catalog.read() as reader:
        rows = reader.session.rows("SELECT first_id, second_id FROM pairs")
    assert set(rows) == expected and expected


def test_above_the_exact_size_the_nearest_neighbours_are_searched(
    filled: Workspace, monkeypatch: pytest.MonkeyPatch
) -> None:
    exact = filled.duplicates(["semantic"])
    monkeypatch.setattr(semantic, "EXACT_UP_TO", 5)
    monkeypatch.setattr(find, "WEIGHTS", {"another": 1.0})  # so that the cached search is not used
    assert filled.duplicates(["semantic"]).groups == exact.groups


def test_equal_vectors_in_half_precision_are_pairs_within_any_limit() -> None:
    angles = np.linspace(0, 6, 50)
    halves = np.stack([np.cos(angles), np.sin(angles)], axis=1).astype(np.float16)
    vectors = np.repeat(halves.astype(np.float32), 2, axis=0)
    rows = np.arange(len(vectors))
    (first, second), _ = semantic.pairs_by_embedding(
        ImageEmbeddings(rows, vectors), 0.0, lambda _: None
    )
    assert {(row, row + 1) for row in range(0, 100, 2)} <= {*zip(first, second, strict=True)}


def test_flat_pictures_are_duplicates_only_if_their_pixels_are_equal(
    workspace: Workspace, photos: Path
) -> None:
    for name, colour, quality in (("a", 200, 90), ("b", 199, 90), ("c", 90, 90)):
        Image.new("RGB", (300, 200), (colour,) * 3).save(photos / f"{name}.jpg", quality=quality)
    Image.new("RGB", (300, 200), (200,) * 3).save(photos / "d.png")
    workspace.add(photos)
    assert sets(workspace.duplicates(["perceptual"], max_hamming=10)) == set()
    assert sets(workspace.duplicates()) == {frozenset(["a.jpg", "d.png"])}


def test_a_transparent_image_is_not_removed_for_its_copy_on_white(
    workspace: Workspace, photos: Path
) -> None:
    drawn = draw_photo(50).convert("RGBA")
    drawn.paste((0, 0, 0, 0), (0, 0, 60, 60))
    drawn.save(photos / "clear.png")
    white = Image.new("RGBA", drawn.size, "white")
    Image.alpha_composite(white, drawn).convert("RGB").save(photos / "white.png")
    workspace.add(photos)
    assert sets(workspace.duplicates(["pixels"])) == set()
    assert sets(workspace.duplicates()) == {frozenset(["clear.png", "white.png"])}


def test_an_image_without_an_embedding_is_compared_by_hash_and_pixels(
    filled: Workspace, messy: Path
) -> None:
    with filled._catalog.write() as writer:
        (spec,) = writer.reader.backbones.all()
        lost = writer.session.rows("SELECT image_id FROM fingerprints WHERE width = 160")[0][0]
        table = f"embeddings_{spec.spec.digest}"
        writer.session.run(f"DELETE FROM {table} WHERE image_id = {lost}")
    shutil.rmtree(filled.folder / "index")
    found = Workspace(filled.folder).duplicates()
    (group,) = [group for group in found.groups if group.kind == "combined"]
    (member,) = [
        member for member in group.members if member.path == str(messy / "red/smaller.jpg")
    ]
    assert member.distance is None and member.hamming == 0


def test_a_limit_implies_its_kind(filled: Workspace) -> None:
    assert filled.duplicates(max_hamming=4).kinds == ("exact", "pixels", "perceptual", "combined")
    found = filled.duplicates(max_distance=0.01)
    assert found.kinds == ("exact", "pixels", "semantic", "combined")
    assert found.max_distance == 0.01


def test_limits_adapt_to_the_size_of_the_collection(filled: Workspace) -> None:
    found = filled.duplicates(["perceptual", "semantic"])
    assert found.max_hamming == 10 and found.chance_hamming < 1e-4
    assert 0 < found.max_distance < 0.3
    assert (found.recall, found.chance_distance < 1) == (1.0, True)
    assert [max_bits_within(count, 10, 1, 1.0) for count in (1000, 100_000, 1_000_000)] == [
        10,
        6,
        4,
    ]


@pytest.mark.slow
@pytest.mark.parametrize(
    ("options", "complaint"),
    [
        ({"kinds": ["similar"]}, "unknown kind of duplicates 'similar'; choose from exact"),
        ({"max_hamming": 65}, "0 to 64 bits, not 65"),
        ({"max_hamming": 257, "kinds": ["perceptual"], "hash_bits": 256}, "0 to 256 bits, not 257"),
        ({"hash_bits": 128}, "64 or 256 bits, not 128"),
        ({"kinds": ["exact"], "any_orientation": True}, "need the kind perceptual"),
        ({"kinds": ["combined"], "max_hamming": 4}, "need the kind perceptual"),
        ({"kinds": ["exact"], "max_distance": 0.1}, "needs the kind semantic"),
        ({"hash_bits": 256}, "needs hashes of 64 bits"),
        ({"kinds": ["perceptual", "combined"], "hash_bits": 256}, "needs hashes of 64 bits"),
        ({"max_distance": -0.1}, "from 0 to 2, not -0.1"),
        ({"of": "nowhere.jpg"}, "No such file"),
    ],
)
def test_invalid_options_are_bad_input(
    filled: Workspace, options: dict[str, object], complaint: str
) -> None:
    with pytest.raises(BadInput, match=complaint):
        filled.duplicates(**options)


def test_an_empty_workspace_raises_an_error(workspace: Workspace) -> None:
    with pytest.raises(EmptyWorkspace):
        workspace.duplicates()


# -- the cached search, and one photo ---------------------------------------------------------


@pytest.mark.slow
def test_a_repeated_search_is_answered_from_the_catalog(
    filled: Workspace, messy: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = replace(filled.duplicates(), examined=0)
    searches = []
    real = pair_search.find_pairs

    def counted(*args: object, **options: object) -> object:
        searches.append(1)
        return real(*args, **options)

    monkeypatch.setattr(find, "find_pairs", counted)
    assert Workspace(filled.folder).duplicates() == first
    assert not searches
    shutil.move(messy / "red/grey.jpg", messy / "blue/renamed.jpg")
    filled.add(messy, labels_from_folders=True)
    renamed = filled.duplicates()
    assert not searches, "a rename changes no image"
    (group,) = [group for group in renamed.groups if group.kind == "combined"]
    assert "renamed.jpg" in names(group) and group.conflict
    draw_photo(99).save(messy / "new.jpg")
    filled.add(messy)
    assert sets(filled.duplicates()) == sets(renamed) and searches


def test_a_search_that_could_not_read_photos_is_not_cached(filled: Workspace, messy: Path) -> None:
    shutil.move(messy, messy.with_name("unplugged"))
    assert filled.duplicates(["pixels"]).groups == ()
    shutil.move(messy.with_name("unplugged"), messy)
    assert sets(filled.duplicates(["pixels"])) == {frozenset(["0.jpg", "pixels.png"])}


def test_a_photo_is_not_a_duplicate_of_itself_under_another_path(
    filled: Workspace, messy: Path, tmp_path: Path
) -> None:
    (tmp_path / "link").symlink_to(messy)
    assert filled.duplicates(["exact"], of=tmp_path / "link/red/0.jpg").groups == ()


def test_one_photo_is_checked_without_adding_it(
    filled: Workspace, messy: Path, tmp_path: Path
) -> None:
    new = tmp_path / "new.jpg"
    ImageOps.mirror(Image.open(messy / "blue/9.jpg")).save(new, quality=70)
    found = filled.duplicates(of=new)
    (group,) = found.groups
    assert names(group) == ["new.jpg", "9.jpg"]
    assert (group.representative, group.kind) == (str(new), "combined")
    assert filled.info().images == 20
    draw_photo(77).save(new)
    assert filled.duplicates(of=new).groups == ()
    (stored,) = filled.duplicates(of=messy / "blue/copy of 7.jpg").groups
    assert names(stored) == ["copy of 7.jpg", "7.jpg"] and stored.kind == "exact"
    (every,) = filled.duplicates(of=messy / "red/0.jpg").groups
    assert frozenset(names(every)) == COPIES and names(every)[0] == "0.jpg"
    with pytest.raises(BadInput, match="stored hashes of 64 bits"):
        filled.duplicates(["perceptual"], hash_bits=256, of=new)


# -- verdicts ----------------------------------------------------------------------------------


def test_verdicts_follow_images_when_files_are_renamed(filled: Workspace, messy: Path) -> None:
    filled.verdicts.set("different", messy / "red/rotated.jpg", messy / "red/larger.jpg")
    filled.verdicts.set("duplicate", messy / "blue/8.jpg", messy / "blue/9.jpg")
    shutil.move(messy / "red/rotated.jpg", messy / "red/elsewhere.jpg")
    shutil.copy(messy / "blue/8.jpg", messy / "blue/8 again.jpg")
    filled.add(messy)
    found = sets(filled.duplicates())
    assert COPIES - {"rotated.jpg"} in found, "they are not in one group any more"
    assert frozenset(["8.jpg", "8 again.jpg", "9.jpg"]) in found
    filled.verdicts.clear(messy / "red/elsewhere.jpg", messy / "red/larger.jpg")
    assert COPIES - {"rotated.jpg"} | {"elsewhere.jpg"} in sets(filled.duplicates())


def test_an_image_to_keep_represents_its_group(filled: Workspace, messy: Path) -> None:
    filled.verdicts.set("keep", messy / "red/grey.jpg")
    (group,) = [group for group in filled.duplicates().groups if "0.jpg" in names(group)]
    assert names(group)[0] == "grey.jpg" and group.members[0].keep
    assert not any(member.keep for member in group.members[1:])


@pytest.mark.parametrize(
    ("verdict", "others"), [("keep", ["blue/8.jpg"]), ("duplicate", []), ("same", ["blue/8.jpg"])]
)
def test_an_invalid_verdict_is_bad_input(
    filled: Workspace, messy: Path, verdict: str, others: list[str]
) -> None:
    with pytest.raises(BadInput, match="for one, or duplicate or different for two"):
        filled.verdicts.set(verdict, messy / "red/0.jpg", *(messy / other for other in others))
    with pytest.raises(BadInput, match="the same bytes"):
        filled.verdicts.set("different", messy / "blue/7.jpg", messy / "blue/copy of 7.jpg")


@pytest.mark.parametrize("content", [b"", b"path,label\n", b"\xff\xd8\xff\xe0 cut short"])
def test_a_verdict_on_a_file_that_is_not_a_photo_is_rejected(
    filled: Workspace, messy: Path, content: bytes
) -> None:
    (messy / "no.jpg").write_bytes(content)
    photo, other = messy / "blue/8.jpg", messy / "no.jpg"
    for arguments in ([other, "keep"], [photo, other, "different"], [other, photo, "duplicate"]):
        words = ["verdict", *map(str, arguments), "-w", str(filled.folder)]
        result = CliRunner().invoke(embedkit, words)
        assert result.exit_code == 2, result.output
        assert "no.jpg: " in result.stderr.replace("\n", "") and not result.stdout
    with filled._catalog.read() as reader:
        assert reader.session.rows("FROM verdicts") == []


def test_a_verdict_on_a_new_photo_applies_when_the_photo_is_added(
    filled: Workspace, messy: Path
) -> None:
    new = messy / "new.jpg"
    ImageOps.mirror(Image.open(messy / "blue/9.jpg")).save(new)
    assert sets(filled.duplicates(of=new)) == {frozenset(["new.jpg", "9.jpg"])}
    filled.verdicts.set("different", new, messy / "blue/9.jpg")
    filled.add(messy)
    assert not any("new.jpg" in names for names in sets(filled.duplicates()))


# -- groups ------------------------------------------------------------------------------------


class Files:
    """Fake examinations of pairs by outcome; the images of other pairs are different."""

    def __init__(self, **outcomes: tuple[tuple[int, int], ...]) -> None:
        self.found = {pair: Examination(name) for name, pairs in outcomes.items() for pair in pairs}
        self.opened: list[tuple[int, int]] = []

    def __call__(self, pairs: Sequence[tuple[int, int]]) -> dict[tuple[int, int], Examination]:
        self.opened += pairs
        return {pair: self.found.get(pair, Examination(DIFFERENT)) for pair in pairs}


def links_of(*pairs: tuple[int, int]) -> groups.Links:
    links: groups.Links = {}
    for one, other in pairs:
        for a, b in ((one, other), (other, one)):
            links.setdefault(a, {})[b] = Link(("combined",), 0, 0.0, 0.8)
    return links


def stars_of(
    files: Files, links: groups.Links, different: tuple[tuple[int, int], ...] = ()
) -> dict[int, list[int]]:
    found = build_stars(links, sorted(links), set(different), files)
    return {centre: sorted(members) for centre, members in found}


def test_images_that_differ_when_opened_are_not_grouped() -> None:
    everything = tuple(combinations(range(1, 30), 2))
    files = Files(copy=((3, 7), (3, 9)))
    assert stars_of(files, links_of(*everything)) == {3: [7, 9]}
    assert len(files.opened) == len(set(files.opened)), "each pair is opened once"


def test_a_chain_of_similar_images_does_not_merge_the_collection() -> None:
    chain = tuple((n, n + 1) for n in range(1, 100))
    found = stars_of(Files(open=chain), links_of(*chain))
    assert all(set(members) <= {centre - 1, centre + 1} for centre, members in found.items())
    together = [image for centre, members in found.items() for image in (centre, *members)]
    assert len(together) == len(set(together))


def test_copies_of_a_copy_are_compared_with_the_representative_too() -> None:
    files = Files(copy=((1, 2), (2, 3), (1, 3)))
    assert stars_of(files, links_of((1, 2), (2, 3))) == {1: [2, 3]}
    assert stars_of(Files(copy=((1, 2), (2, 3))), links_of((1, 2), (2, 3))) == {1: [2]}


def test_an_outlier_that_comes_first_does_not_separate_copies() -> None:
    everything = tuple(combinations(range(1, 6), 2))
    files = Files(copy=tuple(combinations(range(2, 6), 2)))
    assert stars_of(files, links_of(*everything)) == {2: [3, 4, 5]}


def test_an_enlarged_file_is_replaced_by_its_source() -> None:
    everything = tuple(combinations(range(1, 6), 2))
    files = Files(copy=((2, 3), (2, 4)))  # 4 is a copy of 2, but not of its enlarged copy 1
    files.found[1, 2] = files.found[1, 3] = Examination(COPY, enlarged=1)
    assert stars_of(files, links_of(*everything)) == {2: [1, 3, 4]}
    files.found[1, 2] = Examination(COPY, enlarged=2)  # the best-ranked pair decides
    assert stars_of(files, links_of(*everything)) == {1: [2, 3]}


def test_a_file_enlarged_twice_is_replaced_twice_and_a_blurred_original_never() -> None:
    everything = tuple(combinations(range(1, 5), 2))
    files = Files(copy=((3, 4),))
    for pair in ((1, 2), (1, 3), (2, 3)):
        files.found[pair] = Examination(COPY, enlarged=1)
    assert stars_of(files, links_of(*everything)) == {3: [1, 2, 4]}
    for pair in ((1, 2), (1, 3), (2, 3)):  # smaller copies of a blurred photo have less detail
        files.found[pair] = Examination(COPY, enlarged=1, resolution=0.6)
    assert stars_of(files, links_of(*everything)) == {1: [2, 3]}


def test_a_blurred_file_is_replaced_and_does_not_separate_equal_pixels() -> None:
    links = links_of(*combinations(range(1, 5), 2))
    links[2][3] = links[3][2] = replace(links[2][3], kinds=("pixels", "combined"), score=1.0)
    files = Files(copy=((2, 4), (3, 4)))  # 4 differs from the blurred image
    for pair in ((1, 2), (1, 3)):
        files.found[pair] = Examination(COPY, (Change("blurred", 1),))
    assert stars_of(files, links) == {2: [1, 3, 4]}
    for pair in ((1, 2), (1, 3)):
        files.found[pair] = Examination(COPY, (Change("mirrored", 1), Change("blurred", 1)))
    assert stars_of(files, links) == {2: [1, 3, 4]}, "1 joins the star that cannot join it"


@pytest.mark.parametrize("order", list(permutations((1, 2, 3))))
def test_a_decided_pair_does_not_separate_equal_pixels(order: tuple[int, int, int]) -> None:
    links = links_of((1, 2), (1, 3), (2, 3))
    links[1][2] = links[2][1] = replace(links[1][2], kinds=("pixels",), score=1.0)
    links[1][3] = links[3][1] = replace(links[1][3], score=1.0, decided=True)
    ((centre, members),) = build_stars(links, order, set(), Files())
    assert {centre, *members} == {1, 2, 3}


def test_images_that_did_not_match_an_enlarged_file_are_compared_again() -> None:
    links = links_of((1, 3), (1, 4), (2, 4), (3, 4))  # 1 and 2 are the first centres
    files = Files(copy=((1, 2), (2, 3), (1, 4), (2, 4), (3, 4)))
    files.found[1, 3] = Examination(COPY, enlarged=1)
    assert stars_of(files, links) == {3: [1, 2, 4]}


def test_uncertain_files_join_last_and_without_their_copies() -> None:
    links = links_of((1, 2), (1, 3), (3, 4), (1, 6))
    files = Files(copy=((1, 2), (3, 4)), open=((1, 3), (1, 6)))
    assert stars_of(files, links) == {1: [2, 6], 3: [4]}, "two sets of copies stay separate"


def test_a_changed_copy_joins_with_its_own_copies() -> None:
    links = links_of((1, 2), (1, 3), (3, 4))
    files = Files(copy=((1, 2), (3, 4)))
    for pair in ((1, 3), (1, 4)):
        files.found[pair] = Examination(COPY, (Change("mirrored", 2),))
    ((centre, members),) = build_stars(links, [1, 2, 3, 4], set(), files)
    assert (centre, sorted(members)) == (1, [2, 3, 4])
    assert [members[one].is_sure for one in (2, 3, 4)] == [True, False, False]
    assert stars_of(files, links, different=((2, 4),)) == {1: [2], 3: [4]}


def test_an_image_joins_the_centre_with_the_fewest_changes() -> None:
    links = links_of((1, 3), (2, 3), (1, 4), (2, 4))
    mirrored, grey = Change("mirrored", 2), Change("grey", 2)
    files = Files(open=((1, 3),))
    files.found[2, 3] = Examination(COPY, (mirrored,))
    files.found |= {
        (1, 4): Examination(COPY, (mirrored,)),
        (2, 4): Examination(COPY, (mirrored, grey)),
    }
    assert stars_of(files, links) == {1: [4], 2: [3]}
    links |= links_of((1, 2), (1, 3), (2, 3))
    files.found[1, 2] = Examination(COPY, (grey,))
    assert stars_of(files, links) == {1: [2, 3]}, "3 joins the centre of its best centre"


def test_images_with_the_verdict_different_never_share_a_group() -> None:
    star = links_of((1, 2), (1, 3), (1, 4))
    files = Files(copy=((1, 2), (1, 3), (1, 4)))
    assert stars_of(files, star, different=((2, 3),)) == {1: [2, 4]}


def test_a_pair_with_the_verdict_duplicate_is_not_opened() -> None:
    links = links_of((1, 2))
    for one, other in ((1, 2), (2, 1)):
        links[one][other] = replace(links[one][other], decided=True)
    files = Files()
    assert stars_of(files, links) == {1: [2]} and not files.opened


def test_pairs_with_similar_hashes_stay_linked_even_if_they_are_not_copies() -> None:
    links = links_of((1, 2))
    for one, other in ((1, 2), (2, 1)):
        links[one][other] = Link(("combined", "perceptual"), 2, 0.1, 0.8)
    ((_, members),) = build_stars(links, [1, 2], set(), Files())
    assert (members[2].kind, members[2].is_sure) == ("perceptual", False)
    assert members[2].score < 0.1


def test_groups_are_sorted_by_score_and_flag_conflicts() -> None:
    images = {
        number: groups.GroupImage(
            [LiveFile(f"/{number}", label, str(number) * 64)], 10, 10, 10, keep=False
        )
        for number, label in ((1, "a"), (2, None), (3, "a"), (4, "b"))
    }
    files = Files(open=((1, 2),), copy=((3, 4),))
    first, second = build_groups(
        build_stars(links_of((1, 2), (3, 4)), [1, 2, 3, 4], set(), files), images
    )
    assert (first.representative, first.conflict) == ("/3", True) and first.score > 0.99
    assert (second.representative, second.score, second.conflict) == ("/1", 0.8, False)


# -- hashes, similarity and candidates ---------------------------------------------------------


def test_oriented_hashes_are_those_of_oriented_images() -> None:
    pictures = [draw_photo(seed, (256, 256)) for seed in range(12)]
    hashes = oriented_hashes(np.stack([luma(picture) for picture in pictures]))[:, :, 0]
    for picture, found in zip(pictures, hashes, strict=True):
        for orientation in range(ORIENTATIONS):
            changed = Image.fromarray(
                orient_all(np.asarray(picture.convert("L"))[None], orientation)[0]
            )
            bits = np.packbits(imagehash.phash(changed).hash)
            distance = np.bitwise_count(bits.view(">u8")[0] ^ found[orientation])
            assert distance <= (0 if orientation == 0 else 2)


def test_wide_hashes_equal_those_of_imagehash() -> None:
    small = luma_thumbnail(draw_photo(5))
    wide = oriented_hashes(np.frombuffer(small.tobytes(), np.uint8)[None], side=16)
    assert wide.shape == (1, ORIENTATIONS, 4)
    expected = np.packbits(imagehash.phash(small, hash_size=16, highfreq_factor=2).hash)
    assert wide[0, 0].astype(">u8").tobytes() == expected.tobytes()


def test_similarity_tolerates_orientations_and_crops() -> None:
    picture, other = draw_photo(1, (300, 300)), draw_photo(2, (300, 300))
    in_orientation_5 = Image.fromarray(orient_all(np.asarray(picture.convert("L"))[None], 5)[0])
    variants = [picture, in_orientation_5, picture.crop((20, 0, 290, 270)), other]
    lumas = np.stack([luma(variant) for variant in variants])
    second = np.array([0, 1, 2, 3])
    first, may_be_crop = np.zeros(4, np.int64), np.ones(4, bool)
    small = downsampled(lumas)
    plain = similarity(small, first, second, np.zeros(4, np.uint8), ~may_be_crop)
    found = similarity(small, first, second, np.array([0, 5, 0, 0]), may_be_crop)
    assert found[0] == pytest.approx(1, abs=1e-5)
    assert found[1] > 0.99 > 0.6 > plain[1]
    assert found[2] > 0.95 > plain[2]


def test_flat_crops_resemble_nothing_whatever_they_are_rounded_to() -> None:
    random = np.random.default_rng(0)
    flat = np.full((16, 16), 201.7, np.float32)
    rounded = flat * (1 + random.integers(-2, 3, (20, 16, 16)) * np.float32(2**-23))
    pictures = random.integers(0, 1020, (20, 16, 16)).astype(np.float32) / 4
    found = np.einsum("np,np->n", descriptors(rounded), descriptors(pictures))
    assert len(np.unique(rounded)) > 1
    assert np.abs(found).max() < 0.01


def test_the_needed_similarity_gives_the_score() -> None:
    differing, distance = np.array([0.0, 0.1, 0.3]), np.array([0.3, 0.2, np.nan], np.float32)
    needed = min_similarity(differing, distance, 0.8, 0.5)
    reached = copy_probability(differing, distance, needed + 2e-5, 0.8)
    missed = copy_probability(differing, distance, needed - 1e-2, 0.8)
    assert (missed < 0.5).all() and (reached >= 0.5).all()
    assert min_similarity(np.array([1.0]), np.array([2.0]), 0.1, 0.999)[0] > 1


def test_nearly_equal_pictures_of_one_format_are_not_compared_with_each_other(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    count, compared = 1_000, []

    def join(queries: np.ndarray, others: np.ndarray, bits: int) -> Pairs:
        found = near_pairs_between(queries, others, bits)
        compared.append(len(found.first))
        return found

    monkeypatch.setattr(pixels, "near_pairs_between", join)
    lumas = np.full((count, 1024), 200, np.uint8)
    lumas[:, :8] = np.random.default_rng(0).integers(199, 202, (count, 8))
    lumas[1] = 180
    formats = np.array(["PNG", *["JPEG"] * (count - 1)], object)
    sizes, hashes = np.full(count, 640 << 32 | 480), np.full(count, 5, np.uint64)
    maybe = pixels.may_be_pixel_identical(sizes, formats, hashes, lumas)
    assert not maybe[1] and maybe.sum() == count - 1
    assert sum(compared) < count


def test_a_missing_distance_says_nothing_even_if_there_are_no_distances() -> None:
    pair = np.array([0.1]), np.array([np.nan], np.float32), np.array([0.5])
    without = copy_probability(*pair, median_distance=0.0)
    assert without == copy_probability(*pair, median_distance=0.7)
    assert without == pytest.approx(copy_probability(pair[0], np.array([0.7]), pair[2], 0.7))
    assert without < 0.2
    assert min_similarity(*pair[:2], 0.0, 0.5) == min_similarity(*pair[:2], 0.7, 0.5) > 0.8


def test_outlines_bound_similarities_from_above() -> None:
    pictures = [draw_photo(seed, (120, 120)) for seed in range(12)]
    small = downsampled(np.stack([luma(picture) for picture in pictures]))
    first, second = np.triu_indices(12)
    orientation = np.arange(len(first), dtype=np.uint8) % 8
    found = similarity(small, first, second, orientation, np.zeros(len(first), bool))
    outlines = Outlines.of(small)
    for some in (outlines, Outlines.unpacked(outlines.packed())):
        bound = some.bound(outlines, (first, second), orientation)
        assert (found <= bound).all()
        assert (bound < 0.9).any()
    assert outlines.packed().dtype == np.int16
    assert found[3] < 0.6


@pytest.mark.parametrize(
    ("images", "bits", "oriented_bits"),
    [(60_000, 14, 14), (1_000_000, 12, 12), (2_000_000, 12, 10), (10_000_000, 10, 8)],
)
def test_large_collections_compare_turned_images_within_fewer_bits(
    images: int, bits: int, oriented_bits: int
) -> None:
    distances = distribution.DistanceDistribution(
        np.linspace(0.1, 1, 100, dtype=np.float32), images
    )
    limits = pair_search.candidate_limits(pair_search.duplicate_options(()), images, distances)
    assert (limits.bits, limits.oriented_bits) == (bits, oriented_bits)


def hashes_of(*bits: int) -> np.ndarray:
    hashes = np.full((len(bits), ORIENTATIONS, 1), np.uint64(0xFFFF_FFFF_0000_0000))
    hashes[:, 0, 0] = bits
    return hashes


def test_rows_with_equal_hashes_are_paired_with_each_other_and_with_near_rows() -> None:
    first, second = pairs_by_hash(
        hashes_of(0, 0, 0, 0b11, 0b11, 0xFFFF_0000), 4, -1, lambda _: None
    )
    found = set(zip(first.tolist(), second.tolist(), strict=True))
    assert found == set(combinations(range(5), 2))


def test_of_many_rows_with_the_same_hash_only_the_first_are_paired_with_all(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(candidates, "MAX_PAIRS_OF_HASHES", 1000)
    first, second = pairs_by_hash(hashes_of(*[0] * 500, 1), 4, -1, lambda _: None)
    found = set(zip(first.tolist(), second.tolist(), strict=True))
    expected = {(a, b) for a in (0, 1) for b in range(a + 1, 501)} | {(n, 500) for n in range(500)}
    assert found == expected, "pairs of all rows would be 125,250"


# -- plans -------------------------------------------------------------------------------------


def test_the_best_file_is_kept_and_unchanged_copies_are_removed(
    filled: Workspace, messy: Path
) -> None:
    rows = {Path(row.path).name: row for row in filled.clean()}
    assert (rows["7.jpg"].action, rows["copy of 7.jpg"].action) == ("keep", "remove")
    assert rows["copy of 7.jpg"].reason == "the same bytes as 7.jpg"
    kept = next(row for name, row in rows.items() if name in COPIES and row.action == "keep")
    assert Path(kept.path).name != "bordered.jpg"
    assert rows["smaller.jpg"].action == "remove" and "160 x 120" in rows["smaller.jpg"].reason
    changed = {"grey": "without its colours", "mirrored": "mirrored", "rotated": "rotated"}
    for name, word in changed.items():
        row = rows[f"{name}.jpg"]
        assert row.action == "review" and word in row.reason
    allowed = {Path(row.path).name: row for row in filled.clean(allow=["mirrored", "rotated"])}
    assert [allowed[f"{name}.jpg"].action for name in ("mirrored", "rotated", "grey")] == [
        "remove",
        "remove",
        "review",
    ]
    protected = filled.clean(protect=[messy / "blue"])
    assert {row.action for row in protected if "7.jpg" in row.path} == {"keep"}
    with pytest.raises(BadInput, match="unknown change 'ugly'; choose from mirrored, rot"):
        filled.clean(allow=["ugly"])


def test_a_plan_with_links_is_applied_completely(filled: Workspace, messy: Path) -> None:
    """``6.jpg`` comes before the file that it links to, and the other link after its file."""
    (messy / "blue/6.jpg").rename(messy / "blue/really 6.jpg")
    (messy / "blue/6.jpg").symlink_to("really 6.jpg")
    (messy / "blue/zz 7.jpg").symlink_to("7.jpg")
    filled.add(messy)
    rows = [row for row in filled.clean() if row.kind == "exact"]
    actions_of = {Path(row.path).name: (row.action, row.reason.split(",")[0]) for row in rows}
    assert actions_of == {
        "6.jpg": ("review", "a symbolic link"),
        "really 6.jpg": ("keep", "the best of its group"),
        "7.jpg": ("keep", "the best of its group"),
        "copy of 7.jpg": ("remove", "the same bytes as 7.jpg"),
        "zz 7.jpg": ("review", "a symbolic link"),
    }
    write_plan(messy / "plan.csv", rows)
    report = filled.load_plan(messy / "plan.csv").apply()
    assert (report.moved, report.skipped) == ((str(messy / "blue/copy of 7.jpg"),), ())


def test_a_file_kept_under_another_path_is_not_removed(
    filled: Workspace, messy: Path, tmp_path: Path
) -> None:
    (tmp_path / "safe").mkdir()
    (tmp_path / "safe/link.jpg").symlink_to(messy / "blue/8.jpg")
    filled.add(tmp_path / "safe")
    rows = filled.clean(["exact"], protect=[tmp_path / "safe"])
    by_name = {Path(row.path).name: row for row in rows}
    assert (by_name["link.jpg"].action, by_name["8.jpg"].action) == ("keep", "review")
    assert by_name["8.jpg"].reason == (
        f"the same file as {tmp_path}/safe/link.jpg, which is kept, through a linked folder"
    )


def test_all_copies_of_a_picture_under_two_labels_are_reviewed_or_dropped(
    filled: Workspace, messy: Path
) -> None:
    shutil.copy(messy / "blue/8.jpg", messy / "red/8 too.jpg")
    filled.add(messy, labels_from_folders=True)
    found = filled.duplicates()
    (group,) = [group for group in found.groups if group.conflict]

    def actions_of(rows: list) -> set[tuple[str, str, str]]:
        return {(row.action, row.kind, row.rule) for row in rows if "8" in Path(row.path).name}

    assert actions_of(filled.clean(duplicates=found)) == {("review", "conflict", "keep-one")}
    dropped = filled.clean(duplicates=found, conflicts="drop-all")
    assert actions_of(dropped) == {("remove", "conflict", "drop-all")}
    assert "labelled blue and red" in next(row.reason for row in dropped if row.rule == "drop-all")
    kept = filled.clean(duplicates=found, conflicts="drop-all", protect=[messy / "red"])
    assert actions_of(kept) == {
        ("keep", "conflict", "drop-all"),
        ("remove", "conflict", "drop-all"),
    }
    with pytest.raises(BadInput, match="review or drop-all, not 'drop'"):
        filled.clean(conflicts="drop")
    assert group.members[0].label != group.members[1].label


@pytest.mark.slow
def test_the_commands_find_remove_and_restore_duplicates(
    filled: Workspace, messy: Path, tmp_path: Path
) -> None:
    def run(*arguments: object) -> str:
        result = CliRunner().invoke(embedkit, [*map(str, arguments), "-w", str(filled.folder)])
        assert result.exit_code == 0, result.output
        return result.stdout

    document = json.loads(run("duplicates", "--json"))
    assert {"kind", "score", "representative", "members", "conflict"} <= set(document["groups"][0])
    member = document["groups"][0]["members"][0]
    assert {"path", "sha256", "label", "hamming", "distance", "score"} <= set(member)
    output = run("duplicates", "--kind", "exact,pixels", "--html", tmp_path / "page.html")
    assert "2 groups with 2 copies among 20 images" in output
    assert (tmp_path / "page.html").stat().st_size > 10_000
    assert "stored" in run("verdict", messy / "blue/8.jpg", messy / "blue/9.jpg", "different")

    before = {path: path.read_bytes() for path in messy.rglob("*.*")}
    plan = tmp_path / "plan.csv"
    assert f"embedkit apply {plan} -w {filled.folder}" in run("clean", "--plan", plan)
    assert plan.with_suffix(".html").exists()
    with open(plan, newline="", encoding="utf-8-sig") as file:
        removed = [row["path"] for row in csv.DictReader(file) if row["action"] == "remove"]
    run("apply", plan)
    assert removed and not any(Path(path).exists() for path in removed)
    assert len(json.loads(run("duplicates", "--json", "--kind", "exact"))["groups"]) == 0
    run("undo")
    assert {path: path.read_bytes() for path in messy.rglob("*.*")} == before
    assert sets(filled.duplicates()) >= {COPIES}


class FakeExaminer:
    """A pair examiner with given examinations by the first digits of two SHA-256."""

    def __init__(self, **outcomes: Examination) -> None:
        self._outcomes = outcomes

    def compare(self, one: str, other: str) -> Examination:
        pair = f"p{one[0]}{other[0]}"
        if pair in self._outcomes:
            return self._outcomes[pair]
        return self._outcomes[f"p{other[0]}{one[0]}"].reversed()

    def prefetch(self, one: str, others: Iterable[str]) -> None:
        for other in others:
            self.compare(one, other)

    def metadata_by_digest(self, _: Sequence[str]) -> dict[str, FileMetadata]:
        return {}


def group_of(filled: Workspace, *labels: str | None) -> Duplicates:
    """Return a group of a photo, a sure copy and a doubtful one, under the given labels."""
    found = filled.duplicates()
    (group,) = [group for group in found.groups if "0.jpg" in names(group)]
    first = group.members[0]
    links = (
        ("first", True, None),
        ("copy", True, Examination(COPY)),
        ("doubtful", False, Examination(OPEN, note="why")),
    )
    members = tuple(
        replace(
            first,
            path=f"/{place}/{name}.jpg",
            sha256=str(place) * 64,
            label=label,
            sure=sure,
            examination=examination,
            bytes=100 - place,
        )
        for place, (label, (name, sure, examination)) in enumerate(zip(labels, links, strict=True))
    )
    labelled = replace(group, members=members, conflict=len(set(labels) - {None}) > 1)
    return replace(found, groups=(replace(labelled, representative=members[0].path),))


PLAIN = FakeExaminer(
    p01=Examination(COPY), p02=Examination(OPEN, note="why"), p12=Examination(COPY)
)


def actions_of(found: Duplicates, examiner: FakeExaminer, **options: object) -> list[str]:
    return [row.action for row in plan_rows(found, examiner, PlanOptions(**options))]  # type: ignore[arg-type]


def test_a_doubtful_copy_of_the_kept_file_is_not_removed(filled: Workspace) -> None:
    found = group_of(filled, "a", "a", "a")
    assert actions_of(found, PLAIN) == ["keep", "remove", "review"]
    assert plan_rows(found, PLAIN)[2].reason == "may be a copy of first.jpg: why"
    # The kept file decides, not the representative: the doubtful file is a copy of the second one.
    assert actions_of(found, PLAIN, protect=("/1",)) == ["review", "keep", "remove"]
    assert actions_of(found, PLAIN, protect=("/2",)) == ["review", "review", "keep"]


def test_a_better_file_than_the_protected_one_is_for_review(filled: Workspace) -> None:
    found = group_of(filled, "a", "a", "a")
    row = plan_rows(found, PLAIN, PlanOptions(protect=("/1",)))[0]
    assert row.reason == "a copy of copy.jpg, which is kept, although this one is the larger file"


def test_preferred_folders_and_patterns_decide_what_is_kept(filled: Workspace) -> None:
    found = group_of(filled, "a", "a", "a")
    assert actions_of(found, PLAIN, prefer=("/9", "/1")) == ["remove", "keep", "remove"]
    assert actions_of(found, PLAIN, prefer=("/1/*.jpg",)) == ["remove", "keep", "remove"]
    assert actions_of(found, PLAIN, prefer=("*.png",)) == ["keep", "remove", "review"]


def test_a_conflict_drops_sure_copies_only(filled: Workspace) -> None:
    drop = {"conflicts": "drop-all"}
    assert actions_of(group_of(filled, "a", "b", "a"), PLAIN, **drop) == [
        "remove",
        "remove",
        "review",
    ]
    assert set(actions_of(group_of(filled, "a", "a", "b"), PLAIN, **drop)) == {"review"}


def test_the_reason_says_that_a_label_is_carried_over(filled: Workspace) -> None:
    row = plan_rows(group_of(filled, None, "cat", None), PLAIN)[1]
    assert (row.action, row.label) == ("remove", "cat")
    assert row.reason.endswith("its label cat is carried over")


def test_neither_a_plan_nor_a_page_overwrites_a_photo(filled: Workspace, messy: Path) -> None:
    photo = messy / "blue/9.jpg"
    before = photo.read_bytes()
    for command in (("clean", "--plan"), ("duplicates", "--html")):
        done = CliRunner().invoke(embedkit, [*command, str(photo), "-w", str(filled.folder)])
        assert done.exit_code == 2 and "does not end with" in done.output
    assert photo.read_bytes() == before


def test_a_plan_is_written_only_to_a_csv_file(filled: Workspace, tmp_path: Path) -> None:
    for place in (tmp_path / "plan.html", tmp_path, Path()):
        arguments = ["clean", "--plan", str(place), "-w", str(filled.folder)]
        result = CliRunner().invoke(embedkit, arguments)
        assert result.exit_code != 0 and isinstance(result.exception, (BadInput, SystemExit))
    assert not (tmp_path / "plan.html").exists()


def test_a_plan_never_removes_a_whole_group(filled: Workspace) -> None:
    found = filled.duplicates()
    without_conflicts = replace(
        found, groups=tuple(replace(group, conflict=False) for group in found.groups)
    )
    rows = filled.clean(duplicates=without_conflicts, conflicts="drop-all")
    for number in {row.group for row in rows}:
        assert any(row.action == "keep" for row in rows if row.group == number)
