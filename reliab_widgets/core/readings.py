"""How a model's output is read: which part of it, and whether it is logits or probabilities."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

from torch import Tensor, nn

from .wording import counted, problem, shape

NOTES = {
    "probabilities": "the model ends in softmax: log-probabilities are used as logits",
    "sigmoids": "the model gives one probability p for each class: logit p is used as its logit",
    "one logit": "the model gives one logit z: two columns (0, z) are used",
    "one probability": "the model gives one probability p: two columns (0, logit p) are used",
}
"""What is said of each kind of output; logits need no word."""

# Steps of a graph that leave numbers what they are: logits, or probabilities.
_PASS_ON = re.compile(
    r"(Unsafe)?View|Reshape|Squeeze|Unsqueeze|Flatten|Expand|Permute|Transpose|T$|Alias|AsStrided"
    r"|Clone|ToCopy|Slice|Select|Index|Narrow|Split|Unbind|Cat|Stack|Mean|Clamp|Repeat"
)
_SQUASHES = re.compile(r"Sigmoid|Hardsigmoid|Softmax")
_SUMS_UP = re.compile(r"Addmm|Mm|Bmm|Baddbmm|Mv|Addmv|Convolution|\w*BatchNorm|MkldnnLinear")


class NonFinite(ValueError):
    """A model gave NaN or infinity.

    Attributes
    ----------
    rows : tuple of int
        For which of the images of the pass.
    """

    def __init__(self, message: str, rows: tuple[int, ...]) -> None:
        super().__init__(message)
        self.rows = rows

    def __reduce__(self) -> Any:
        return type(self), (self.args[0], self.rows)


def check_finite(logits: Tensor, verb: str = "passed") -> None:
    """Refuse logits (n, K) that hold NaN or infinity.

    Parameters
    ----------
    logits : Tensor
        What a pass gave.
    verb : str
        What was done with the images.

    Raises
    ------
    NonFinite
        They do; it says for which images.

    Examples
    --------
    >>> import torch
    >>> check_finite(torch.tensor([[0.0, 1.0], [torch.nan, 0.0]]))
    Traceback (most recent call last):
    reliab_widgets.core.readings.NonFinite: the model's output holds NaN or infinity: ...
    """
    fine = logits.isfinite().all(1)
    if fine.all():
        return
    rows = tuple((~fine).nonzero().flatten().tolist())
    raise NonFinite(nonfinite(rows, f"{counted(len(logits))} {verb}"), rows)


def check_slopes(slopes: Tensor) -> None:
    """Refuse gradients (n, ...) that hold NaN or infinity, though the logits may not.

    Raises
    ------
    ValueError
        They do.

    Examples
    --------
    >>> import torch
    >>> grey = torch.zeros(1, 1, 1, 1, requires_grad=True)
    >>> check_slopes(*torch.autograd.grad(grey.square().sum().sqrt(), grey))
    Traceback (most recent call last):
    ValueError: the model's gradient holds NaN or infinity: for 1 of 1 images passed at once. ...
    """
    broken = int((~slopes.isfinite()).flatten(1).any(1).sum())
    if broken:
        raise ValueError(
            problem(
                "the model's gradient holds NaN or infinity",
                f"for {broken} of {counted(len(slopes))} passed at once",
                "A root or a norm has no slope at 0, which black pixels and baselines reach: add a "
                "small number inside of it in model=, or choose what needs no gradients, such as "
                "method='occlusion' or criterion='weight'",
            )
        )


def nonfinite(numbers: tuple[int, ...], images: str, one: str = "image") -> str:
    """Say for which images a model gave NaN, in the three parts of every error."""
    few = ", ".join(map(str, numbers[:10])) + (", ..." if len(numbers) > 10 else "")
    seen = f"for {len(numbers):,} of the {images}: {one}{'s' * (len(numbers) > 1)} {few}"
    return problem(
        "the model's output holds NaN or infinity",
        seen,
        "Leave such images out, or check the weights of model= and the numbers in mean= and std=; "
        "torch.isfinite finds the layer where it begins",
    )


def kind(scores: Tensor, end: Any, model: nn.Module, far: Callable[[], Tensor]) -> str:
    """Tell what (n, K) scores are, by their values and by the function that made them.

    Parameters
    ----------
    scores : Tensor
        Of a few images.
    end : torch.autograd.graph.Node, optional
        The function that made such scores, where gradients were recorded.
    model : torch.nn.Module
        What gave them.
    far : callable
        Gives the scores of images far outside [0, 1].

    Returns
    -------
    str
        "logits", or a key of ``NOTES``.

    Raises
    ------
    ValueError
        One column of numbers between 0 and 1, and nothing tells what they are.

    Examples
    --------
    >>> import torch
    >>> kind(torch.tensor([[0.5, 0.5]]), None, nn.Identity(), lambda: torch.zeros(1, 2))
    'probabilities'
    """
    alone = scores.shape[1] == 1
    if not bool(((scores >= 0) & (scores <= 1)).all()):
        return "one logit" if alone else "logits"
    if not alone and bool(((scores.sum(1) - 1).abs() < 1e-3).all()):
        return "probabilities"
    makers = set(_makers(end))
    if makers and all(map(_SUMS_UP.match, makers)):
        return "one logit" if alone else "logits"
    squashed = bool(makers) and all(map(_SQUASHES.match, makers))
    if squashed or isinstance([*model.modules()][-1], nn.Sigmoid):
        if alone:
            return "one probability"
        return "probabilities" if makers == {"Softmax"} else "sigmoids"
    if not alone:
        return "logits"
    values = far()
    if not bool(((values >= 0) & (values <= 1)).all()):
        return "one logit"
    raise ValueError(
        problem(
            "it is not clear whether the model gives a logit or a probability",
            f"one number for each image, from {scores.min():.3g} to {scores.max():.3g}, and within "
            "0-1 even for images that are no images",
            "If it is a probability, let output= return its torch.logit; if it is a logit z, let "
            "output= return torch.cat([0 * z, z], 1)",
        )
    )


def _makers(node: Any) -> Iterator[str]:
    """Name the functions at the end of a graph, behind those that change only shapes."""
    waiting, seen = [node], set()
    while waiting:
        node = waiting.pop()
        if node is None or node in seen:
            continue
        seen.add(node)
        name = re.sub(r"Backward\d*$", "", type(node).__name__)
        if _PASS_ON.match(name):
            waiting += [before for before, _ in node.next_functions]
        else:
            yield name


def entries(raw: Any) -> dict[Any, Any]:
    """Return the parts of an output by their keys or positions; none if it has no parts.

    Examples
    --------
    >>> entries((1, 2)), entries({"logits": 3}), entries(4)
    ({0: 1, 1: 2}, {'logits': 3}, {})
    """
    if isinstance(raw, Mapping):
        return dict(raw)
    if hasattr(raw, "_asdict"):
        return raw._asdict()
    if isinstance(raw, tuple | list):
        return dict(enumerate(raw))
    return {key: it for key, it in getattr(raw, "__dict__", {}).items() if isinstance(it, Tensor)}


def listed(parts: Mapping[Any, Any]) -> str:
    """List the parts of an output with what they are, for an error."""
    return ", ".join(
        f"{key!r} ({shape(value.shape) if isinstance(value, Tensor) else type(value).__name__})"
        for key, value in parts.items()
    )
