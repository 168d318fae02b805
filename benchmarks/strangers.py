"""`python -m benchmarks.strangers`: every analysis on networks that nobody here wrote.

Prints a table in Markdown: seconds of CPU time, or what was refused or wrong. Each network has a
process of its own; words as arguments choose rows that contain them. Rows of timm and transformers
need these.
"""

import signal
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from time import process_time
from typing import Any

import numpy as np
import torch
import torchvision
from captum.attr import IntegratedGradients
from torch import Tensor, nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.nn.functional import cross_entropy
from torch.utils.flop_counter import FlopCounterMode

import reliab_widgets as rw
from reliab_widgets.ops.pruning.gates import Gates
from reliab_widgets.ops.pruning.structure import cut, structure

SMALL = {"img_size": 32, "patch_size": 8}
SAME = (
    "vgg11",
    "vgg11_bn",
    "resnet18",
    "densenet121",
    "shufflenet_v2_x0_5",
    "mobilenet_v2",
    "mobilenet_v3_small",
    "resnext50_32x4d",
    "wide_resnet50_2",
    "mnasnet0_5",
    "efficientnet_b0",
    "efficientnet_v2_s",
    "regnet_y_400mf",
    "regnet_x_400mf",
    "convnext_tiny",
)  # what a side of 32 pixels is enough for
NETWORKS: dict[str, tuple[int, dict[str, Any]]] = {  # side of an image, arguments
    **{f"torchvision {it}": (32, {}) for it in SAME},
    **{f"torchvision {it}": (64, {}) for it in ("alexnet", "squeezenet1_1", "swin_t", "swin_v2_t")},
    "torchvision inception_v3": (75, {"init_weights": False, "aux_logits": False}),
    "torchvision googlenet": (32, {"init_weights": False, "aux_logits": False}),
    "torchvision vit_b_16": (32, {"image_size": 32}),
    "torchvision maxvit_t": (224, {}),
    **{f"timm {it}": (32, {}) for it in ("resnet10t", "convnext_atto", "ghostnet_050")},
    **{f"timm {it}": (64, {}) for it in ("pvt_v2_b0", "mobilevit_xxs", "efficientvit_b0")},
    "timm dm_nfnet_f0": (32, {}),
    "timm vit_tiny_patch16_224": (32, SMALL),
    "timm vit_wee_patch16_reg1_gap_256": (32, SMALL),
    "timm deit_tiny_distilled_patch16_224": (32, SMALL),
    "timm swin_tiny_patch4_window7_224": (56, {"img_size": 56}),
    "timm mixer_s32_224": (64, {"img_size": 64}),
    "timm levit_128s": (64, {"img_size": 64}),
    "timm xcit_nano_12_p16_224": (64, {"img_size": 64}),
    "transformers vit": (32, {"image_size": 32, "patch_size": 8}),
}
N, CLASSES, SECONDS = 8, 10, 300
UNITS = 32  # of each group, that the oracle removes: all of a large network take an hour
FEW: dict[str, Any] = {"fills": (), "untrained": False, "score": "logit", "baselines": "white"}


def made(row: str) -> tuple[nn.Module, int]:
    """Build a network, and let all of it matter: nothing is 0, batch norms have measured."""
    package, name = row.split()
    side, given = NETWORKS[row]
    torch.manual_seed(0)
    if package == "torchvision":
        model = torchvision.models.get_model(name, weights=None, num_classes=CLASSES, **given)
    elif package == "timm":
        import timm

        model = timm.create_model(name, num_classes=CLASSES, **given)
    else:
        from transformers import ViTConfig, ViTForImageClassification

        sizes = {"hidden_size": 48, "num_hidden_layers": 3, "num_attention_heads": 3}
        config = ViTConfig(num_labels=CLASSES, intermediate_size=96, **sizes, **given)
        model = ViTForImageClassification(config)
    with torch.no_grad():
        for value in model.parameters():
            if value.abs().max() < 1e-3:
                value.normal_(0, 0.1)
        for module in model.train().modules():
            if isinstance(module, nn.modules.batchnorm._BatchNorm):
                module.momentum = 1.0
        # Of fewer, some variances would be next to nothing; large images have more places.
        model(torch.rand(64 if side < 100 else N, 3, side, side))
    return model.eval(), side


def equal(what: str, seen: Any, wanted: Any, close: float = 0.0) -> None:
    gap = np.abs(np.asarray(seen, float) - np.asarray(wanted, float)).max()
    assert gap <= close, f"{what} differ by {gap:.2g}"


def cells(row: str) -> dict[str, Callable[[], object]]:
    """Return what is tried on a network; numbers are checked by other means."""
    model, side = made(row)
    images = torch.rand(N, 3, side, side, generator=torch.Generator().manual_seed(1))
    labels = torch.arange(N) % CLASSES

    def answers(images: Tensor) -> Tensor:
        with torch.no_grad():
            found: Any = model(images)
        return found if isinstance(found, Tensor) else found.logits

    truth = answers(images)
    right, size = float((truth.argmax(1) == labels).float().mean()), float(truth.abs().max())
    subject = rw.Subject(model, images, labels)

    def report() -> None:
        equal("logits", subject.logits, truth, 5e-4 * size)
        subject.report()

    def ig() -> None:
        result = rw.saliency(subject, method="ig", steps=64, **FEW)
        # On the way to white a network with random weights may be anything: as well as captum.
        known = IntegratedGradients(subject.predict)
        gaps = [
            known.attribute(
                images[:1],
                torch.ones_like(images[:1]),
                target=int(result.target[0]),
                n_steps=64,
                method=rule,
                internal_batch_size=N,
                return_convergence_delta=True,
            )[1]
            for rule in ("riemann_middle", "riemann_trapezoid", "gausslegendre")
        ]
        least = 2 * float(torch.stack(gaps).abs().max())
        equal("the sum of the map and the difference of scores", result.gap, 0, 0.1 * size + least)

    def attack(kind: str) -> None:
        found = rw.attack(subject[:4], attack=kind, steps=3, epsilon=0.0005).images
        equal("radius and epsilon", (found - images[:4]).abs().max(), 0.0005, 1e-6)
        before, after = (cross_entropy(it, labels[:4]) for it in (truth[:4], answers(found)))
        assert after > before, "the loss has not grown"

    def propagation() -> None:
        layers: list[nn.Module] = []
        heavy = [it for it in model.modules() if isinstance(it, nn.Conv2d | nn.Linear)]
        hooks = [it.register_forward_hook(lambda m, *_: layers.append(m)) for it in heavy]
        answers(images[:2])
        for hook in hooks:
            hook.remove()
        result = rw.propagation(subject, images=2, steps=2, correct_only=False)
        assert result.notes or len(result.layers) >= len(layers) + 3, "layers were left out"

    def pruning() -> None:
        rw.pruning(subject, levels=(0.3,), images=4, calibration_images=4)
        found = structure(subject)
        gone = np.random.default_rng(0).random(len(found)) < 0.3
        gone[np.unique(found.group, return_index=True)[1]] = False
        smaller = cut(subject, found, gone)
        # Torch's counter has no formula for attention that is fused on a CPU.
        with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
            smaller.model(images[:1].clone().requires_grad_())
        weights = sum(it.numel() for it in smaller.model.parameters())
        counted = weights, counter.get_total_flops() // 2
        equal("parameters and multiply-adds", found.cost(gone), counted)
        silent = Gates(subject, found).logits(images, torch.from_numpy(1.0 - gone).float())
        equal("cut and silent", smaller.logits, silent, 1e-4 * size)

    def oracle() -> None:
        found = structure(subject)
        most = min(UNITS, int(np.bincount(found.group).max()))
        truly = rw.oracle(subject[:2], units=most)
        for place in np.random.default_rng(0).integers(len(truly.unit), size=3):
            unit = truly.unit[place]
            less = cut(subject, found, np.arange(len(found)) == unit).logits[:2]
            before, after = (
                cross_entropy(it, labels[:2], reduction="none") for it in (truth[:2], less)
            )
            equal("changes of the loss", truly.change[:, place], after - before, 1e-4 * size)

    return {
        "report": report,
        "reliability": lambda: equal(
            "accuracies", rw.reliability(subject).metric("accuracy"), right
        ),
        "ig": ig,
        **{
            kind: lambda kind=kind: rw.saliency(subject, method=kind, masks=20, **FEW)
            for kind in ("gradcam", "occlusion", "rise")
        },
        "fgsm": lambda: attack("fgsm"),
        "pgd": lambda: attack("pgd"),
        "propagation": propagation,
        "pruning": pruning,
        "oracle": oracle,
    }


def late(*_: object) -> None:
    raise TimeoutError


def told(work: Callable[[], object]) -> str:
    """Say how many seconds something takes, or how it fails."""
    start = process_time()
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        work()
    except TimeoutError:
        return f"over {SECONDS} s"
    except Exception as error:
        clear = isinstance(error, ValueError | TypeError) and str(error).endswith(".")
        kind = (
            "refused" if clear else "**wrong**" if isinstance(error, AssertionError) else "**raw**"
        )
        signal.setitimer(signal.ITIMER_PROF, 0)
        return f"{kind}: {type(error).__name__}: {error}".replace("\n", " ").replace("|", "/")[:200]
    signal.setitimer(signal.ITIMER_PROF, 0)
    return f"{process_time() - start:.1f} s"


def main() -> None:
    words = sys.argv[1:]
    if words[:1] == ["--one"]:
        signal.signal(signal.SIGPROF, late)
        for name, work in cells(words[1]).items():
            print(name, told(work), sep="\t", flush=True)
        return
    head: list[str] = []
    for row in NETWORKS:
        package = row.split()[0]
        if not find_spec(package) or (words and not any(word in row for word in words)):
            continue
        child = subprocess.run(
            [sys.executable, "-m", "benchmarks.strangers", "--one", row],
            stdout=subprocess.PIPE,
            text=True,
        )
        found = dict(line.split("\t") for line in child.stdout.splitlines() if "\t" in line)
        if not head:
            head = list(found)
            print(f"| network | {' | '.join(head)} |", f"|---|{'---|' * len(head)}", sep="\n")
        print(f"| {row} | {' | '.join(found.get(it, '**ended**') for it in head)} |", flush=True)


if __name__ == "__main__":
    main()
