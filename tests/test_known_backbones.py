"""The table of known backbones, compared with the networks, and what only some of them have."""

import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import open_clip
import pytest
import timm
import torch
from conftest import draw_photo
from safetensors.torch import save_file
from test_backbones import assert_same_embedding

import embedkit
from embedkit.backbones import open_clip_networks, registry, timm_networks
from embedkit.backbones.network import Network, Preprocessing
from embedkit.backbones.registry import KNOWN, Known, parse
from embedkit.backbones.weights import HubFile
from embedkit.errors import MissingExtra, UnknownBackbone, WeightsMissing

ROOT = Path(__file__).parents[1]

# The backbones of the comparison that embedkit started from, and the dimensions of their vectors.
PUBLISHED_DIMS = {
    "resnet50": 2048,
    "resnet101": 2048,
    "resnet152": 2048,
    "efficientnet_b0": 1280,
    "efficientnet_b1": 1280,
    "efficientnet_b2": 1408,
    "vgg16": 512,
    "vgg19": 512,
    "inception_v3": 2048,
    "inception_resnet_v2": 1536,
}


def provider(known: Known) -> ModuleType:
    return open_clip_networks if known.provider == "open_clip" else timm_networks


def random_network(name: str) -> Network:
    """The network of a known backbone with random parameters of the usual magnitudes."""
    known = KNOWN[name]
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network: Network = provider(known).build(known.id, known.size, parse(name).pool or "native")
        for key, parameter in network.module.named_parameters():
            if "gamma" in key:  # else DINOv3's class token hardly depends on the photo
                torch.nn.init.uniform_(parameter, 0.1, 0.5)
    return network


def saved(network: Network, folder: Path) -> Path:
    body: Any = network.module.body
    save_file({key: value.contiguous() for key, value in body.state_dict().items()},
              folder / "weights.safetensors")  # fmt: skip
    return folder / "weights.safetensors"


# -- the table ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", KNOWN)
def test_each_known_network_matches_the_table(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    known = KNOWN[name]
    networks = provider(known)
    networks.check(known.id)
    # Without memory for the parameters, and without computing a value.
    monkeypatch.setattr(open_clip, "create_model", partial(open_clip.create_model, device="meta"))
    with torch.device("meta"), torch.inference_mode():
        network = networks.build(known.id, known.size, parse(name).pool or "native")
        vectors = network.module(torch.zeros(1, 3, known.size, known.size))
    assert vectors.shape == (1, known.dim)
    assert known.dim == PUBLISHED_DIMS.get(name, known.dim)
    assert sum(parameter.numel() for parameter in network.module.parameters()) == known.parameters
    hub = networks.hub_file(known.id)
    assert hub is not None and hub.repository == known.repository
    native = networks.preprocessing(known.id, None).size
    assert known.size == (224 if name == "dinov2_vits14" else native)


def test_open_clips_own_weights_files_are_preferred_to_others_in_the_repository() -> None:
    hub = open_clip_networks.hub_file("ViT-L-14/laion2b_s32b_b82k")
    assert hub is not None
    assert hub.filenames == (
        "open_clip_model.safetensors",
        "open_clip_pytorch_model.bin",
        "model.safetensors",
        "pytorch_model.bin",
    )


# The image towers of open_clip's networks in timm, which states the licence of each weights file.
IN_TIMM = {
    "siglip2-b-16": "vit_base_patch16_siglip_224.v2_webli",
    "siglip2-so400m-14": "vit_so400m_patch14_siglip_224.v2_webli",
    "pe-core-t-16": "vit_pe_core_tiny_patch16_384.fb",
    "pe-core-s-16": "vit_pe_core_small_patch16_384.fb",
    "pe-core-b-16": "vit_pe_core_base_patch16_224.fb",
    "pe-core-l-14": "vit_pe_core_large_patch14_336.fb",
    "mobileclip2-s0": "fastvit_mci0.apple_mclip2_dfndr2b",
    "mobileclip2-s2": "fastvit_mci2.apple_mclip2_dfndr2b",
    "mobileclip2-b": "vit_base_mci_224.apple_mclip2_dfndr2b",
}
LIMITS = {"apple-amlr": "apple-amlr (research)", "dinov3-license": "dinov3-license (restricted)"}


@pytest.mark.parametrize(
    ("name", "identifier"),
    [(name, known.id) for name, known in KNOWN.items() if known.provider == "timm"]
    + list(IN_TIMM.items()),
)
def test_licences_are_those_of_the_weights_and_their_limits_are_marked(
    name: str, identifier: str
) -> None:
    licence = timm.get_pretrained_cfg(identifier).license
    assert KNOWN[name].licence == LIMITS.get(licence, licence)


def test_the_documentation_lists_every_known_backbone() -> None:
    page = (ROOT / "docs/reference/backbones.md").read_text("utf-8")
    for name, known in KNOWN.items():
        default = " (default)" if name == registry.DEFAULT else ""
        packaged = ", packaged" if known.package else ""
        row = (
            f"| `{name}`{default} | {known.provider} `{known.id}`{packaged} | {known.size} "
            f"| {known.dim} | {known.parameters / 1e6:,.1f} M | {known.licence} |"
        )
        assert row in page


def test_the_default_backbone_is_known_and_packaged() -> None:
    assert KNOWN[registry.DEFAULT].package
    assert {name for name, known in KNOWN.items() if known.package} == {
        "efficientnet_lite0",
        "efficientnet_lite1",
        "efficientnet_lite2",
    }


IMAGENET = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
HALF = (0.5, 0.5, 0.5), (0.5, 0.5, 0.5)
NONE = (0.0, 0.0, 0.0), (1.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("family", "count", "resize", "interpolation", "normalisation"),
    [
        ("dinov3", 4, "crop", "bicubic", IMAGENET),
        ("tipsv2", 1, "crop", "bicubic", NONE),
        ("siglip2", 2, "squash", "bicubic", HALF),
        ("pe-core", 4, "squash", "bilinear", HALF),
        ("mobileclip2", 3, "crop", "bilinear", NONE),
    ],
)
def test_photos_are_prepared_as_for_the_published_weights(
    family: str, count: int, resize: str, interpolation: str, normalisation: tuple[Any, Any]
) -> None:
    members = [known for name, known in KNOWN.items() if name.startswith(family)]
    assert len(members) == count
    for known in members:
        expected = Preprocessing(known.size, resize, 1.0, interpolation, *normalisation)
        assert provider(known).preprocessing(known.id, None) == expected


# -- weights and texts -------------------------------------------------------------------------


@pytest.mark.slow
@pytest.mark.parametrize(
    "name",
    [
        *("resnet50", "vgg16", "inception_v3", "mobilenet_v3_large", "dinov2_vits14"),
        *("dinov3_vits16", "dinov3_vits16plus", "dinov3_vitb16", "tipsv2_vitb14", "clip-vit-b-32"),
        *("siglip-b-16", "siglip2-b-16", "pe-core-t-16", "pe-core-s-16", "mobileclip2-s0"),
        *("mobileclip2-s2", "mobileclip2-b", "datacomp-vit-b-32-256"),
    ],
)
def test_a_known_backbone_with_a_weights_file_embeds_photos_and_texts(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network = random_network(name)
    backbone = embedkit.load_backbone(f"{name}?weights={saved(network, tmp_path)}")
    assert_same_embedding(backbone, network.module, draw_photo(2))
    if network.embed_text is None:
        return
    if "siglip" in name:  # its tokenizer is on the hub and not tested here; the text tower is

        def tokens(texts: list[str]) -> torch.Tensor:
            return torch.tensor([[len(text)] * 64 for text in texts])

        monkeypatch.setattr(open_clip_networks, "_tokenizer", lambda _: tokens)
    one, other = backbone.embed_text(["a red bowl", "two cats on a sofa"])
    assert np.linalg.norm([one, other], axis=1) == pytest.approx(1)
    assert one.shape == (KNOWN[name].dim,)
    assert one @ other < 0.999


def test_an_image_tower_of_timm_takes_another_size(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    architecture = {
        "embed_dim": 8,
        "custom_text": True,
        "vision_cfg": {"timm_model_name": "test_vit", "timm_pool": "token", "image_size": 160},
        "text_cfg": {"width": 8, "heads": 1, "layers": 1},
    }
    monkeypatch.setitem(open_clip.factory._MODEL_CONFIGS, "tiny", architecture)
    network = open_clip_networks.build("tiny", None, "native")
    name = f"open_clip/tiny?weights={saved(network, tmp_path)}"
    body: Any = network.module.body
    assert_same_embedding(embedkit.load_backbone(name), body.encode_image, draw_photo(2))
    body.visual.set_input_size(224)
    larger = embedkit.load_backbone(f"{name}&size=224")
    assert_same_embedding(larger, body.encode_image, draw_photo(2))
    again = embedkit.load_backbone(f"open_clip/tiny?size=224&weights={saved(network, tmp_path)}")
    assert_same_embedding(again, body.encode_image, draw_photo(2))


class Transformers(ModuleType):
    """The transformers package, with the tokenizers that ``is_cached`` and ``is_on_hub`` allow."""

    def __init__(self, is_cached: bool, is_on_hub: bool) -> None:
        super().__init__("transformers")
        self.AutoTokenizer = self
        self._is_cached, self._is_on_hub = is_cached, is_on_hub
        self.requests = 0

    def from_pretrained(
        self, name: str, local_files_only: bool = False, **_: object
    ) -> Callable[..., Any]:
        self.requests += not local_files_only
        if not self._is_cached and (local_files_only or not self._is_on_hub):
            raise OSError(f"We couldn't connect to the hub for {name}.\nCheck your connection.")

        def tokenizer(texts: list[str], max_length: int, **_: object) -> Any:
            tokens = torch.tensor([[len(text)] * max_length for text in texts])
            return type("Encoding", (), {"input_ids": tokens})

        return tokenizer


def test_the_tokenizer_of_siglip_2_needs_an_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(MissingExtra, match=r"SigLIP2 need a tokenizer: pip install .*\[text\]"):
        open_clip_networks._tokenizer("ViT-B-16-SigLIP2")


def test_a_tokenizer_in_the_hubs_cache_needs_no_request(monkeypatch: pytest.MonkeyPatch) -> None:
    transformers = Transformers(is_cached=True, is_on_hub=False)
    monkeypatch.setitem(sys.modules, "transformers", transformers)
    tokens = open_clip_networks._tokenizer("ViT-B-16-SigLIP2")(["a red bowl"])
    assert tokens.tolist() == [[10] * 64]
    assert transformers.requests == 0


def test_a_tokenizer_on_the_hub_is_downloaded(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    transformers = Transformers(is_cached=False, is_on_hub=True)
    monkeypatch.setitem(sys.modules, "transformers", transformers)
    downloads = []

    def download(hub: HubFile) -> Path:
        downloads.append(hub.repository)
        return tmp_path

    monkeypatch.setattr(open_clip_networks, "download", download)
    assert open_clip_networks._tokenizer("ViT-B-16-SigLIP2")(["a"]).shape == (1, 64)
    assert downloads == ["timm/ViT-B-16-SigLIP2"]


def test_the_error_for_a_missing_tokenizer_lists_places_and_advice(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    transformers = Transformers(is_cached=False, is_on_hub=False)
    monkeypatch.setitem(sys.modules, "transformers", transformers)
    with pytest.raises(WeightsMissing) as error:
        open_clip_networks._tokenizer("ViT-B-16-SigLIP2")
    message = str(error.value)
    for part in ("no tokenizer", "cache", "hub timm/ViT-B-16-SigLIP2", "go online and run again"):
        assert part in message
    assert "\n" not in message
    assert transformers.requests == 0, "transformers repeats a failed request for most of a minute"


# -- the class token ---------------------------------------------------------------------------


@pytest.mark.slow
def test_dinov3_embeds_by_its_class_token_and_other_poolings_exclude_it(tmp_path: Path) -> None:
    network = random_network("dinov3_vits16")
    body: Any = network.module.body
    features: Callable[[torch.Tensor], torch.Tensor] = body.forward_features
    name = f"dinov3_vits16?weights={saved(network, tmp_path)}"
    manifest = {"architecture": "dinov3_vits16", "weights": "weights.safetensors", "size": 256}
    (tmp_path / registry.MANIFEST).write_text(str(manifest).replace("'", '"'))

    def class_token(pixels: torch.Tensor) -> torch.Tensor:
        return features(pixels)[:, 0]

    def mean_of_patches(pixels: torch.Tensor) -> torch.Tensor:
        return features(pixels)[:, 5:].mean(1)

    for text in (name, f"{name}&pool=token", f"local/{tmp_path}"):
        backbone = embedkit.load_backbone(text)
        assert backbone.spec.pool == "token"
        assert_same_embedding(backbone, class_token, draw_photo(2))  # type: ignore[arg-type]
    for pool in ("native", "avg"):
        backbone = embedkit.load_backbone(f"{name}&pool={pool}")
        assert_same_embedding(backbone, mean_of_patches, draw_photo(2))  # type: ignore[arg-type]


@pytest.mark.parametrize("pool", ["token", "avg"])
def test_the_class_token_is_taken_after_the_last_norm(pool: str) -> None:
    """A network that pools by average has its last norm behind the pooling."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        body = timm.create_model("test_vit", num_classes=0, global_pool=pool).eval()
        body.fc_norm.apply(lambda norm: [torch.nn.init.normal_(p) for p in norm.parameters()])
        pixels = torch.randn(2, 3, 160, 160)
    with torch.inference_mode():
        ours = timm_networks._Embedder(body, "token")(pixels)
        body.reset_classifier(0, "token")
        assert torch.equal(ours, body(pixels))


@pytest.mark.parametrize(
    ("name", "complaint"),
    [
        ("timm/test_resnet", "timm/test_resnet has no class token; omit pool=token, or choose"),
        ("timm/vit_base_patch16_siglip_224", "has no class token"),
        ("open_clip/ViT-S-32-alt", "its pooling is fixed; omit pool=token"),
    ],
)
def test_a_network_without_a_class_token_refuses_it(name: str, complaint: str) -> None:
    known = parse(f"{name}?pool=token")
    networks = open_clip_networks if known.provider == "open_clip" else timm_networks
    with pytest.raises(UnknownBackbone, match=complaint), torch.device("meta"):
        networks.build(known.id, None, known.pool)
