"""`python -m benchmarks.large`: the processor's seconds of calls on large networks at 224 pixels.

Prints one line a call as it is done; words as arguments choose the lines that contain them.
"""

import sys
from collections.abc import Callable
from time import process_time

import torch
import torchvision

import reliab_widgets as rw

NETWORKS = {"ResNet-50": "resnet50", "ViT-B/16": "vit_b_16"}
MAP_ALONE = {"fills": (), "untrained": False}
CALLS: dict[str, Callable[[rw.Subject], object]] = {
    "reliability, 64 images": rw.reliability,
    "Grad-CAM of one image, the map alone": lambda subject: rw.saliency(
        subject, method="gradcam", **MAP_ALONE
    ),
    "Grad-CAM of one image, with its controls": lambda subject: rw.saliency(
        subject, method="gradcam"
    ),
    "saliency of one image, defaults": rw.saliency,
    "RISE of one image, 400 masks": lambda subject: rw.saliency(subject, method="rise"),
    "oracle, 2 images, 32 units of each group": lambda subject: rw.oracle(subject[:2], units=32),
    "propagation, 64 images": lambda subject: rw.propagation(subject, correct_only=False),
    "pruning, 64 images": rw.pruning,
}


def main() -> None:
    """Measure each call on a Subject of its own, so that none profits from the one before."""
    words = sys.argv[1:]
    for network, name in NETWORKS.items():
        for call, work in CALLS.items():
            what = f"{network}: {call}"
            if all(word in what for word in words):
                subject = made(name)
                start = process_time()
                work(subject)
                print(f"{what}: {process_time() - start:.1f} s", flush=True)


def made(name: str) -> rw.Subject:
    torch.manual_seed(0)
    model = torchvision.models.get_model(name, weights=None, num_classes=10).eval()
    with torch.no_grad():
        for value in model.parameters():
            if value.ndim > 1 and not value.any():  # torchvision's ViT begins with a head of zeros
                value.normal_(0, 0.1)
    return rw.Subject(model, torch.rand(64, 3, 224, 224), torch.arange(64) % 10)


if __name__ == "__main__":
    main()
