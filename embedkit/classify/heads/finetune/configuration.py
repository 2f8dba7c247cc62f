"""Configuration of fine-tuning, and presets. This module imports nothing heavy."""

from dataclasses import dataclass, field

from embedkit.errors import BadInput

OPTIMIZERS = ("adamw", "sgd")
SCHEDULES = ("cosine", "step")
PRECISIONS = ("auto", "float32", "bf16", "fp16")


@dataclass(frozen=True)
class Augmentation:
    """Random augmentation of the training photos, drawn again in every epoch."""

    crop_area: tuple[float, float] = (0.5, 1.0)
    """Minimum and maximum area of the crop, as a share of the largest crop with its aspect
    ratio."""
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    """Minimum and maximum aspect ratio of the crop, width / height."""
    flip: float = 0.5
    """Probability of mirroring left to right."""
    hue: float = 0.0
    """Maximum rotation of the hue in either direction, degrees."""
    saturation: float = 0.2
    """Maximum relative change of the saturation in either direction."""
    brightness: float = 0.2
    """Maximum relative change of the brightness in either direction."""
    rotation: float = 10.0
    """Maximum rotation in either direction, degrees."""


@dataclass(frozen=True)
class Configuration:
    """How a network is fine-tuned. Raises :class:`BadInput` for invalid values."""

    epochs: int
    """Number of epochs."""
    batch: int
    """Photos per step, over all processes."""
    learning_rate: float
    """Peak learning rate of the linear layer; ``layer_decay`` lowers it for the layers below."""
    optimizer: str = "adamw"
    """``adamw``, or ``sgd`` with a momentum of 0.9."""
    weight_decay: float = 0.05
    """Weight decay; biases and the parameters of norms have none."""
    layer_decay: float = 1.0
    """Learning rate of a layer divided by that of the layer above it (Clark et al. 2020)."""
    schedule: str = "cosine"
    """``cosine``: falls to 0. ``step``: divided by 10 after each of the first two thirds of the
    epochs."""
    warmup_epochs: float = 0.0
    """Epochs in which the learning rate rises linearly from 0."""
    label_smoothing: float = 0.0
    """Label smoothing of the loss, 0 to 1."""
    dropout: float = 0.0
    """Dropout of the embedding, before the linear layer."""
    mixup: float = 0.0
    """Alpha of mixup (Zhang et al. 2018); 0 turns it off."""
    cutmix: float = 0.0
    """Alpha of CutMix (Yun et al. 2019); 0 turns it off. With both, each step draws one of them."""
    ema_decay: float = 0.0
    """Decay of the moving average of the weights, which is validated and saved; 0 turns it off."""
    balanced: bool = False
    """Whether every class has the same total weight in the loss."""
    frozen_norm: bool = False
    """Whether batch norms keep their running statistics."""
    precision: str = "auto"
    """Precision of training: ``float32``, ``bf16``, ``fp16``; ``auto`` is bf16 on CUDA (fp16 on
    GPUs without bf16) and float32 elsewhere. Validation always uses float32."""
    seed: int = 0
    """Seed of all random choices."""
    augmentation: Augmentation = field(default_factory=Augmentation)
    """Augmentation of the training photos."""

    def __post_init__(self) -> None:
        augmentation = self.augmentation
        valid = {
            "epochs": self.epochs >= 1,
            "batch": self.batch >= 2,
            "learning_rate": self.learning_rate >= 0,
            "optimizer": self.optimizer in OPTIMIZERS,
            "weight_decay": self.weight_decay >= 0,
            "layer_decay": 0 < self.layer_decay <= 1,
            "schedule": self.schedule in SCHEDULES,
            "warmup_epochs": 0 <= self.warmup_epochs < self.epochs,
            "label_smoothing": 0 <= self.label_smoothing < 1,
            "dropout": 0 <= self.dropout < 1,
            "mixup": self.mixup >= 0,
            "cutmix": self.cutmix >= 0,
            "ema_decay": 0 <= self.ema_decay < 1,
            "precision": self.precision in PRECISIONS,
            "seed": self.seed >= 0,
            "crop_area": 0 < augmentation.crop_area[0] <= augmentation.crop_area[1] <= 1,
            "crop_ratio": 0 < augmentation.crop_ratio[0] <= augmentation.crop_ratio[1],
            "flip": 0 <= augmentation.flip <= 1,
            "hue": 0 <= augmentation.hue <= 180,
            "saturation": 0 <= augmentation.saturation <= 1,
            "brightness": 0 <= augmentation.brightness < 1,
            "rotation": 0 <= augmentation.rotation <= 180,
        }
        for name, is_valid in valid.items():
            if not is_valid:
                owner = self if hasattr(self, name) else augmentation
                raise BadInput(f"fine-tuning: {name} cannot be {getattr(owner, name)!r}")


@dataclass(frozen=True)
class Preset:
    """A named configuration."""

    configuration: Configuration
    from_probe: bool
    """Whether the linear layer is initialised by a probe (LP-FT, Kumar et al. 2022)."""
    backbones: tuple[str, ...] = ()
    """The backbones that it was published with; empty for a preset for any backbone."""


PRESETS = {
    # Doi (2018), "Ramen image classification of all stores", IPSJ Magazine 59(11): these three
    # networks from ImageNet, 30 epochs of batches of 20, random crops, mirroring, hue and
    # brightness, rotation. Values that the article does not give are from the author's own tool
    # (github.com/knjcode/mxnet-finetuner, its example of 30 epochs): SGD at 1e-4 with a momentum
    # of 0.9 and a weight decay of 1e-5, the rate divided by 10 after 10 and 20 epochs; hue by 36 of
    # OpenCV's 180 steps, saturation and brightness by 50 of 255, rotation by 10 degrees.
    "doi2018": Preset(
        Configuration(
            epochs=30,
            batch=20,
            learning_rate=1e-4,
            optimizer="sgd",
            weight_decay=1e-5,
            schedule="step",
            augmentation=Augmentation(
                crop_area=(0.75, 1.0), hue=72, saturation=0.2, brightness=0.2, rotation=10
            ),
        ),
        from_probe=False,
        backbones=("inception_v3", "resnet152", "seresnext50"),
    ),
    "modern": Preset(
        Configuration(
            epochs=10,
            batch=32,
            learning_rate=1e-3,
            layer_decay=0.75,
            warmup_epochs=1,
            label_smoothing=0.1,
            ema_decay=0.999,
        ),
        from_probe=True,
    ),
}
"""Presets by name."""
