import json
import pickle
import random
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path

import icc
import numpy as np
import pytest
import torch
from conftest import draw_photo
from PIL import Image, ImageDraw
from safetensors.torch import save_file
from test_images import encoded

import embedkit
from embedkit.backbones import is_current, registry, timm_networks, weights
from embedkit.backbones.backbone import Backbone
from embedkit.backbones.preprocess import prepare
from embedkit.backbones.registry import KNOWN, MANIFEST, parse
from embedkit.errors import BadArtefact, BadInput, BadWeights, UnknownBackbone, WeightsMissing
from embedkit.images.decode import Decoder
from embedkit.results import EmbeddingSpec

# -- names -------------------------------------------------------------------------------------


def test_overrides_are_parsed_and_file_names_may_contain_separators() -> None:
    name = parse("resnet50?size=448&pool=gem&weights=/a b/x&y=1+%41.pth&resize=pad")
    assert (name.provider, name.id) == ("timm", "resnet50.tv_in1k")
    assert (name.size, name.pool, name.resize) == (448, "gem", "pad")
    assert name.weights == "/a b/x&y=1+%41.pth"


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("resnte50", "did you mean resnet50"),
        ("", "no backbone is called ''"),
        ("timm/", "no backbone is called"),
        ("resnet50?size=0", "size must be 16 to 4096"),
        ("resnet50?size=big", "size must be"),
        ("resnet50?pool=mean", "pool must be one of native, avg, max, gem, token"),
        ("resnet50?resize=stretch", "resize must be one of crop, pad, squash"),
        ("resnet50?precision=int8", "precision must be one of float32, bf16, fp16"),
        ("resnet50?colour=bgr", "unknown override 'colour'; known: weights=FILE"),
        ("resnet50?weights=", "unknown override 'weights'"),
    ],
)
def test_the_error_for_a_bad_name_lists_the_choices(text: str, complaint: str) -> None:
    with pytest.raises(UnknownBackbone, match=complaint.replace("?", r"\?")):
        parse(text)


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("timm/resnet5", "timm has no model called 'resnet5'; close: resnet"),
        ("timm/resnet50.mine", "no weights 'mine'; it has: .*tv_in1k"),
        ("open_clip/ViT-B-33/openai", "no architecture 'ViT-B-33'"),
        ("open_clip/ViT-B-32/mine", "no weights 'mine'; it has: openai"),
        ("local/nowhere", "there is no .*nowhere/backbone.json"),
    ],
)
def test_a_name_that_its_provider_does_not_know_is_an_error(text: str, complaint: str) -> None:
    with pytest.raises(UnknownBackbone, match=complaint):
        embedkit.load_backbone(text)


# -- preprocessing -----------------------------------------------------------------------------


def spec(**changes: object) -> EmbeddingSpec:
    values: dict[str, object] = {
        "architecture": "toy", "weights": "", "dim": 1, "size": 224, "resize": "crop",
        "crop": 0.875, "interpolation": "bicubic", "mean": (0.5, 0.5, 0.5),
        "std": (0.5, 0.5, 0.5), "pool": "native",
    }  # fmt: skip
    return EmbeddingSpec(**{**values, **changes})  # type: ignore[arg-type]


@pytest.mark.parametrize("size", [(640, 480), (481, 733), (100, 90), (256, 256), (1000, 260)])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_pixels_equal_timms_evaluation_transform(size: tuple[int, int], interpolation: str) -> None:
    from timm.data import create_transform

    image = draw_photo(4, size)
    ours = prepare(Decoder(encoded(image)), spec(interpolation=interpolation))
    transform = create_transform((3, 224, 224), crop_pct=0.875, interpolation=interpolation,
                                 mean=(0, 0, 0), std=(1, 1, 1))  # fmt: skip
    theirs = (transform(image).numpy().transpose(1, 2, 0) * 255).round()
    assert np.abs(ours - theirs).max() <= 1


@pytest.mark.parametrize("mode", ["shortest", "squash"])
@pytest.mark.parametrize("interpolation", ["bilinear", "bicubic"])
def test_pixels_equal_open_clips_evaluation_transform(mode: str, interpolation: str) -> None:
    from open_clip.transform import image_transform

    image = draw_photo(4, (640, 480))
    transform = image_transform(224, is_train=False, mean=(0, 0, 0), std=(1, 1, 1),
                                resize_mode=mode, interpolation=interpolation)  # fmt: skip
    resize = {"shortest": "crop", "squash": "squash"}[mode]
    wanted = spec(resize=resize, crop=1.0, interpolation=interpolation)
    ours = prepare(Decoder(encoded(image)), wanted)
    theirs = (transform(image).numpy().transpose(1, 2, 0) * 255).round()
    assert np.abs(ours - theirs).max() <= 1


def test_padding_keeps_the_whole_image_between_bars_of_the_mean_colour() -> None:
    pixels = prepare(Decoder(encoded(Image.new("RGB", (400, 100), "red"))), spec(resize="pad"))
    assert pixels.shape == (224, 224, 3)
    assert (pixels[112] == (255, 0, 0)).all()
    assert (pixels[0] == 128).all() and (pixels[-1] == 128).all()
    red_rows = (pixels == (255, 0, 0)).all((1, 2)).sum()
    assert red_rows == 56


def test_a_reduced_jpeg_decode_changes_pixels_by_less_than_two_levels_on_average() -> None:
    data = encoded(draw_photo(6, (1280, 960)), "JPEG", quality=95)
    reduced = prepare(Decoder(data), spec())
    whole = prepare(Decoder(encoded(Decoder(data).at_least(short=960))), spec())
    assert np.abs(reduced.astype(int) - whole).mean() < 2


def test_images_of_extreme_shapes_are_resized_to_the_input_size() -> None:
    for size in ((20_000, 2), (1, 20_000), (1, 1)):
        for resize in registry.RESIZES:
            pixels = prepare(Decoder(encoded(Image.new("L", size))), spec(resize=resize))
            assert pixels.shape == (224, 224, 3)


# -- specs -------------------------------------------------------------------------------------


def test_a_spec_round_trips_through_json_and_every_field_changes_its_digest() -> None:
    one = spec()
    assert EmbeddingSpec.from_json(one.canonical_json) == one
    digests = {one.digest}
    for field, value in (("weights", "a"), ("size", 225), ("mean", (0.5, 0.5, 0.4)),
                         ("pool", "gem"), ("pipeline", 99), ("precision", "bf16")):  # fmt: skip
        digests.add(spec(**{field: value}).digest)
    assert len(digests) == 7


# -- weights -----------------------------------------------------------------------------------


def test_the_error_for_missing_weights_lists_places_and_advice() -> None:
    with pytest.raises(WeightsMissing) as error:
        embedkit.load_backbone("resnet50")
    message = str(error.value)
    for part in ("packages", "cache", "hub timm/resnet50.tv_in1k", "resnet50?weights=FILE"):
        assert part in message
    assert "\n" not in message


def test_only_the_file_in_the_name_is_tried(tmp_path: Path) -> None:
    with pytest.raises(WeightsMissing, match="only the given file is tried"):
        embedkit.load_backbone(f"efficientnet_lite0?weights={tmp_path}/none.pth")


def test_the_hubs_cache_is_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cached = tmp_path / "models--timm--resnet50.tv_in1k"
    snapshot = cached / "snapshots/abc"
    snapshot.mkdir(parents=True)
    (cached / "refs").mkdir()
    (cached / "refs/main").write_text("abc")
    (snapshot / "model.safetensors").touch()
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_CACHE", str(tmp_path))
    monkeypatch.setattr("huggingface_hub.file_download.constants.HF_HUB_CACHE", str(tmp_path))
    assert weights.weights_status(KNOWN["resnet50"]) == "cached"
    assert weights.weights_status(KNOWN["resnet101"]) == "needs download"
    hub = timm_networks.hub_file("resnet50.tv_in1k")
    assert weights.find(parse("resnet50"), hub).path == snapshot / "model.safetensors"


@pytest.mark.parametrize("name", ["efficientnet_lite0", "efficientnet_lite1", "efficientnet_lite2"])
def test_packaged_weights_load_and_have_the_pinned_digest(name: str) -> None:
    backbone = embedkit.load_backbone(name)
    package = KNOWN[name].package
    assert package is not None
    assert backbone.spec.weights == weights.PINNED[package]
    assert is_current(backbone.resolved)
    vectors = backbone.embed([draw_photo(seed) for seed in range(4)])
    distances = 1 - vectors @ vectors.T
    assert np.median(distances[np.triu_indices(4, 1)]) > 0.01


def test_the_default_backbone_embeds_pictures_whatever_their_encoding() -> None:
    backbone = embedkit.load_backbone()
    logos = []
    for seed in range(10):
        logo, generator = Image.new("RGBA", (400, 400), (255, 255, 255, 0)), random.Random(seed)
        for _ in range(12):
            line = [generator.randint(10, 390) for _ in range(4)]
            ImageDraw.Draw(logo).line(line, fill=(255, 255, 255, 255), width=6)
        logos.append(Decoder(encoded(logo)))
    vectors = backbone.embed(logos)
    assert (1 - vectors @ vectors.T)[np.triu_indices(10, 1)].min() > 0.02

    picture = draw_photo(1, (800, 600))
    grey = np.asarray(picture.convert("L")).astype(np.uint16)
    levels = [Image.fromarray(grey * factor) for factor in (1, 16, 257)]
    plain, *deep = backbone.embed(
        [Decoder(encoded(image, "TIFF")) for image in (picture.convert("L"), *levels)]
    )
    assert max(1 - vector @ plain for vector in deep) < 0.005

    for primaries, curve in ((icc.DISPLAY_P3, icc.SRGB_CURVE), (icc.ADOBE_RGB, icc.gamma(2.2))):
        profile = icc.rgb(primaries, curve)
        stored = icc.in_space(picture, profile)
        for kind, options in (("PNG", {}), ("JPEG", {"quality": 95, "subsampling": 0})):
            one, other = backbone.embed(
                [
                    Decoder(encoded(picture, kind, **options)),
                    Decoder(encoded(stored, kind, icc_profile=profile, **options)),
                ]
            )
            assert 1 - one @ other < 0.01


def test_a_package_with_another_file_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.pth"
    other.write_bytes(b"something else")
    monkeypatch.setattr(weights, "packaged_file", lambda _: other)
    with pytest.raises(BadWeights, match="is not the file that"):
        embedkit.load_backbone("efficientnet_lite0")


# -- providers, each with a local file ---------------------------------------------------------


def assert_same_embedding(backbone: Backbone, module: torch.nn.Module, image: Image.Image) -> None:
    """Assert that the embedding of an image is the normalised output of a module."""
    pixels = prepare(Decoder(encoded(image)), backbone.spec)
    mean, std = (torch.tensor(values) for values in (backbone.spec.mean, backbone.spec.std))
    tensor = ((torch.from_numpy(pixels.copy()).float() / 255 - mean) / std).permute(2, 0, 1)
    with torch.inference_mode():
        raw = module(tensor[None])[0]
    expected = (raw / raw.norm()).numpy()
    assert np.abs(backbone.embed([image])[0] - expected).max() < 1e-5


def test_timm_loads_a_file_without_its_classifier(tiny: str, tiny_weights: Path) -> None:
    import timm

    backbone = embedkit.load_backbone(tiny)
    module = timm.create_model("test_resnet", num_classes=0, checkpoint_path="").eval()
    from safetensors.torch import load_file

    state = {k: v for k, v in load_file(tiny_weights).items() if not k.startswith("fc.")}
    module.load_state_dict(state)
    assert_same_embedding(backbone, module, draw_photo(2))
    assert (backbone.dim, backbone.spec.size) == (96, 64)


def test_a_checkpoint_of_torch_loads_without_running_code(
    tmp_path: Path, tiny: str, tiny_weights: Path
) -> None:
    from safetensors.torch import load_file

    state = {f"module.{key}": value for key, value in load_file(tiny_weights).items()}
    torch.save({"state_dict": state, "epoch": 3}, tmp_path / "checkpoint.pth")
    other = embedkit.load_backbone(f"timm/test_resnet?weights={tmp_path}/checkpoint.pth&size=64")
    image = draw_photo(2)
    same = embedkit.load_backbone(tiny)
    assert np.abs(other.embed([image]) - same.embed([image])).max() < 1e-5

    class Bomb:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "ran",)  # type: ignore[return-value]

    torch.save({"state_dict": Bomb()}, tmp_path / "bomb.pth")
    with pytest.raises(BadWeights):
        embedkit.load_backbone(f"timm/test_resnet?weights={tmp_path}/bomb.pth")
    assert not (tmp_path / "ran").exists()


def test_weights_that_do_not_fit_the_network_are_refused(
    tmp_path: Path, tiny_weights: Path
) -> None:
    from safetensors.torch import load_file

    state = load_file(tiny_weights)
    for change, complaint in (
        ({"drop": "conv1.0.weight"}, "1 missing tensor"),
        ({"add": "extra.weight"}, "1 unexpected tensor"),
    ):
        changed = {key: value for key, value in state.items() if key != change.get("drop")}
        if "add" in change:
            changed[change["add"]] = torch.zeros(1)
        save_file(changed, tmp_path / "changed.safetensors")
        with pytest.raises(BadWeights, match=complaint):
            embedkit.load_backbone(f"timm/test_resnet?weights={tmp_path}/changed.safetensors")
    with pytest.raises(BadWeights, match="does not fit timm/test_vit"):
        embedkit.load_backbone(f"timm/test_vit?weights={tiny_weights}")


def zipped(file: Path, size: int) -> None:
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("archive/data.pkl", bytes(size))


NO_WEIGHTS: dict[str, Callable[[Path], object]] = {
    "empty": lambda file: file.touch(),
    "text": lambda file: file.write_text("hello, I am no weights file"),
    "a pickle": lambda file: file.write_bytes(pickle.dumps({"weight": 1})),
    "a photo": lambda file: draw_photo(1).save(file, "jpeg"),
    "a header of 2**62 bytes": lambda file: file.write_bytes((2**62).to_bytes(8, "little") + b"{"),
    "a header past the end": lambda file: file.write_bytes((99).to_bytes(8, "little") + b"{}"),
    "an archive cut short": lambda file: file.write_bytes(b"PK\x03\x04" + bytes(50)),
    "an archive that unpacks to much": lambda file: zipped(file, 50_000_000),
}


@pytest.mark.parametrize("write", NO_WEIGHTS.values(), ids=NO_WEIGHTS)
def test_a_file_that_is_not_weights_is_refused_before_the_network_is_built(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, write: Callable[[Path], object]
) -> None:
    write(tmp_path / "weights.bin")
    monkeypatch.setitem(sys.modules, "embedkit.backbones.loading", None)  # cannot be imported
    with pytest.raises(
        BadWeights, match=r"weights\.bin is not a weights file: .*Use a file"
    ) as caught:
        embedkit.load_backbone(f"timm/test_resnet?weights={tmp_path}/weights.bin")
    assert "\n" not in str(caught.value)


def test_weights_far_too_large_for_their_network_are_not_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tiny_weights: Path
) -> None:
    from embedkit.backbones import network

    monkeypatch.setattr(network, "MAX_EXTRA", 0)
    with open(tmp_path / "weights.pth", "wb") as file:
        file.write(bytes.fromhex("80028a0a6cfc9c46f9206aa850192e"))
        file.truncate(11 * tiny_weights.stat().st_size)
    with pytest.raises(BadWeights, match="it belongs to another network"):
        embedkit.load_backbone(f"timm/test_resnet?weights={tmp_path}/weights.pth")


@pytest.mark.parametrize(("pool", "dim"), [("avg", 96), ("max", 96), ("gem", 96)])
def test_pooling_can_be_chosen(tiny: str, pool: str, dim: int) -> None:
    image = draw_photo(2)
    native = embedkit.load_backbone(tiny).embed([image])[0]
    pooled = embedkit.load_backbone(f"{tiny}&pool={pool}").embed([image])[0]
    assert pooled.shape == (dim,)
    assert np.allclose(native, pooled, atol=1e-5) == (pool == "avg")


def test_gem_is_the_cubic_mean() -> None:
    features = torch.tensor([[[[1.0, 2.0], [3.0, 4.0]]]])
    pooled = timm_networks._pooled(features, "gem", torch.nn.Identity())
    assert pooled.flatten().item() == pytest.approx((100 / 4) ** (1 / 3))


def test_a_transformers_tokens_are_pooled_without_its_prefix(tmp_path: Path) -> None:
    import timm

    model = timm.create_model("test_vit")
    save_file(model.state_dict(), tmp_path / "vit.safetensors")
    name = f"timm/test_vit?weights={tmp_path}/vit.safetensors"
    token, average = (embedkit.load_backbone(name + pool) for pool in ("", "&pool=avg"))
    model.reset_classifier(0)
    assert_same_embedding(token, model.eval(), draw_photo(2))

    def mean_of_patches(pixels: torch.Tensor) -> torch.Tensor:
        return model.forward_features(pixels)[:, model.num_prefix_tokens :].mean(1)

    assert_same_embedding(average, mean_of_patches, draw_photo(2))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def small_clip(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, torch.nn.Module]:
    """The name of a small CLIP with random weights, and its module."""
    import open_clip

    path = tmp_path_factory.mktemp("clip") / "clip.safetensors"
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = open_clip.create_model("ViT-S-32-alt")
    save_file(model.state_dict(), path)
    return f"open_clip/ViT-S-32-alt?weights={path}", model.eval()


def test_open_clip_loads_a_file_and_embeds_images_and_text(
    small_clip: tuple[str, torch.nn.Module], caplog: pytest.LogCaptureFixture
) -> None:
    import open_clip

    name, model = small_clip
    backbone = embedkit.load_backbone(name)
    assert "randomly" not in caplog.text
    assert backbone.spec.mean == tuple(open_clip.OPENAI_DATASET_MEAN)
    assert_same_embedding(backbone, model.encode_image, draw_photo(2))  # type: ignore[arg-type]
    texts = ["a red bowl", "ラーメン"]
    with torch.inference_mode():
        raw = model.encode_text(open_clip.get_tokenizer("ViT-S-32-alt")(texts))  # type: ignore[operator]
    expected = torch.nn.functional.normalize(raw, dim=1).numpy()
    assert np.abs(backbone.embed_text(texts) - expected).max() < 1e-5


def test_open_clip_refuses_weights_that_do_not_fit(tiny_weights: Path) -> None:
    with pytest.raises(BadWeights, match="does not fit open_clip/ViT-S-32-alt"):
        embedkit.load_backbone(f"open_clip/ViT-S-32-alt?weights={tiny_weights}")


def test_a_backbone_without_a_text_tower_refuses_text(tiny: str) -> None:
    with pytest.raises(BadInput, match="embeds images only"):
        embedkit.load_backbone(tiny).embed_text(["x"])


def test_a_local_folder_is_a_backbone(tmp_path: Path, tiny: str, tiny_weights: Path) -> None:
    folder = tmp_path / "my backbone"
    folder.mkdir()
    (folder / "w.safetensors").write_bytes(tiny_weights.read_bytes())
    manifest = {"architecture": "timm/test_resnet", "weights": "w.safetensors", "size": 64}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    local = embedkit.load_backbone(f"local/{folder}")
    assert local.spec == embedkit.load_backbone(tiny).spec, "the same network, under another name"

    (folder / MANIFEST).write_text(json.dumps({**manifest, "mean": [0, 0, 0], "pool": "gem"}))
    assert embedkit.load_backbone(f"local/{folder}").spec.mean == (0.0, 0.0, 0.0)
    (folder / MANIFEST).write_text(json.dumps({**manifest, "sha256": "0" * 64}))
    with pytest.raises(BadArtefact, match="not the file"):
        embedkit.load_backbone(f"local/{folder}")
    impossible: list[tuple[str, object]] = [
        ("size", "abc"),
        ("size", 7),
        ("crop", 0),
        ("interpolation", "foo"),
        ("mean", [1, 2]),
        ("std", [0, 1, 1]),
        ("resize", "foo"),
        ("pool", "x"),
    ]
    for key, value in impossible:
        (folder / MANIFEST).write_text(json.dumps({**manifest, key: value}))
        with pytest.raises(BadArtefact, match=f"{key} cannot be"):
            embedkit.load_backbone(f"local/{folder}")
    (folder / MANIFEST).write_text("{}")
    with pytest.raises(BadArtefact, match="has no 'architecture'"):
        embedkit.load_backbone(f"local/{folder}")


# -- embedding ---------------------------------------------------------------------------------


def test_images_may_be_paths_pillow_images_or_arrays(tiny: str, tmp_path: Path) -> None:
    backbone = embedkit.load_backbone(tiny)
    image = draw_photo(1)
    image.save(tmp_path / "x.png")
    vectors = backbone.embed([tmp_path / "x.png", str(tmp_path / "x.png"), image, np.array(image)])
    assert vectors.shape == (4, 96) and vectors.dtype == np.float32
    assert np.ptp(vectors, axis=0).max() < 1e-6
    assert np.linalg.norm(vectors, axis=1) == pytest.approx(1)
    assert backbone.embed([]).shape == (0, 96)
    with pytest.raises(BadInput, match=r"uint8 \(H, W, 3\)"):
        backbone.embed([np.zeros((4, 4))])


def test_vectors_do_not_depend_on_the_batch(tiny: str) -> None:
    backbone = embedkit.load_backbone(tiny)
    images = [draw_photo(seed) for seed in range(40)]
    together = backbone.embed(images)
    alone = np.concatenate([backbone.embed([image]) for image in images])
    assert np.abs(together - alone).max() < 1e-5
