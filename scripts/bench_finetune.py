"""Compare the speed of fine-tuning with that of a plain timm training loop.

    python scripts/bench_finetune.py [FOLDER] [--backbone efficientnet_lite0] [--batch 32]
        [--rounds 3] [--photos 256]

Prints a table of images per second. Ours is embedkit.classify.heads.finetune with the preset
`modern`, including decoding and augmentation of every photo, the moving average of the weights and
a checkpoint. The plain loop has torch's DataLoader with one worker per core, timm's
create_transform with the same augmentation, timm's model, and the same batch, optimiser and loss;
once in torch's default layout, and once channels-last. Each trains two epochs on the same photos in
its own process; the second epoch is timed, without validation. The sides alternate; figures are
medians over the rounds, ratios are medians of the ratio in each round.

FOLDER contains the photos (JPEG); without it, photos of 1280 x 960 pixels are cut out of Debian's
wallpapers by scripts/make_crops.py. Their classes are arbitrary, since only speed is measured.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median
from typing import Any

CLASSES = 10
WALLPAPERS = ("/usr/share/backgrounds", "/usr/share/wallpapers")


# -- parts that run in their own process -----------------------------------------------------------


def ours(photos: list[tuple[str, int]], backbone: str, batch: int) -> float:
    """Return the images per second of our second epoch."""
    from dataclasses import replace

    from embedkit.classify.heads.finetune import PRESETS, Task, fit

    configuration = replace(PRESETS["modern"].configuration, epochs=2, batch=batch)
    classes = [str(number) for number in range(CLASSES)]
    clock, ends = time.perf_counter, dict[int | None, float]()
    with tempfile.TemporaryDirectory() as folder:
        task = Task(backbone, classes, photos, photos[:1])
        fit(task, configuration, folder, lambda progress: ends.update({progress.done: clock()}))
    return len(photos) / (ends[2 * len(photos)] - ends[len(photos)])


def bare(photos: list[tuple[str, int]], backbone: str, batch: int, layout: str) -> float:
    """Return the images per second of the second epoch of the plain loop."""
    import timm
    import torch
    from PIL import Image
    from torch.utils.data import DataLoader, Dataset
    from torchvision.transforms import Compose, RandomRotation

    from embedkit.backbones import registry
    from embedkit.classify.heads.finetune import PRESETS

    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    form = torch.channels_last if layout == "channels_last" else torch.contiguous_format
    known = registry.parse(backbone)
    model = timm.create_model(known.id.partition(".")[0], num_classes=CLASSES)
    model = model.to(device).to(memory_format=form).train()
    configuration = PRESETS["modern"].configuration
    how = configuration.augmentation
    settings = timm.data.resolve_model_data_config(timm.create_model(known.id))
    crop, colours, tensor = timm.data.create_transform(
        input_size=settings["input_size"],
        is_training=True,
        scale=how.crop_area,
        ratio=how.crop_ratio,
        hflip=how.flip,
        color_jitter=(how.brightness, 0.0, how.saturation, how.hue / 360),
        interpolation=settings["interpolation"],
        mean=settings["mean"],
        std=settings["std"],
        separate=True,
    )
    transform = Compose([crop, RandomRotation(how.rotation), colours, tensor])

    class Photos(Dataset):  # type: ignore[type-arg]
        def __len__(self) -> int:
            return len(photos)

        def __getitem__(self, number: int) -> Any:
            path, target = photos[number]
            with Image.open(path) as image:
                return transform(image.convert("RGB")), target

    loader = DataLoader(
        Photos(),
        batch_size=batch,
        shuffle=True,
        num_workers=os.cpu_count() or 1,
        persistent_workers=True,
        pin_memory=device.type == "cuda",
    )
    optimizer = torch.optim.AdamW(model.parameters(), configuration.learning_rate)
    loss_of = torch.nn.CrossEntropyLoss(label_smoothing=configuration.label_smoothing)
    for _ in range(2):
        started = time.perf_counter()
        for pixels, targets in loader:
            pixels = pixels.to(device, memory_format=form, non_blocking=True)
            with torch.autocast("cuda", torch.bfloat16, enabled=device.type == "cuda"):
                loss = loss_of(model(pixels), targets.to(device))
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        loss.item()  # waits for the GPU
    return len(photos) / (time.perf_counter() - started)


# -- the comparison --------------------------------------------------------------------------------

PARTS = ("ours", "bare", "bare channels_last")


def part(name: str, asked: argparse.Namespace, folder: str) -> float:
    command = [sys.executable, __file__, folder, "--part", name]
    command += ["--backbone", asked.backbone]
    command += ["--batch", str(asked.batch), "--photos", str(asked.photos)]
    return float(json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout))


def main(asked: argparse.Namespace, folder: str) -> None:
    rounds = []
    for number in range(asked.rounds):
        print(f"round {number + 1} of {asked.rounds}", file=sys.stderr)
        rounds.append({name: part(name, asked, folder) for name in PARTS})
    print(f"{asked.backbone + ', batch ' + str(asked.batch):<32}{'images/s':>10}{'ratio':>8}")
    for name in PARTS:
        ratio = median(one["ours"] / one[name] for one in rounds)
        print(f"{name:<32}{median(one[name] for one in rounds):>10.1f}{ratio:>8.2f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", nargs="?")
    parser.add_argument("--backbone", default="efficientnet_lite0")
    parser.add_argument("--batch", type=int, default=32)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--photos", type=int, default=256)
    parser.add_argument("--part", choices=PARTS, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.part:
        files = sorted(str(path) for path in Path(asked.folder).rglob("*.jpg"))[: asked.photos]
        labelled = [(path, place % CLASSES) for place, path in enumerate(files)]
        kind, _, layout = asked.part.partition(" ")
        rate = (
            ours(labelled, asked.backbone, asked.batch)
            if kind == "ours"
            else bare(labelled, asked.backbone, asked.batch, layout)
        )
        print(json.dumps(rate))
    elif asked.folder:
        main(asked, asked.folder)
    else:
        with tempfile.TemporaryDirectory() as scratch:
            crops = [sys.executable, str(Path(__file__).with_name("make_crops.py"))]
            subprocess.run([*crops, scratch, str(asked.photos), *WALLPAPERS], check=True)
            main(asked, scratch)
