"""torchvision's compiled operators in Python, for where its build does not match torch.

They are declared under their own names, so that a dispatch mode sees `torchvision::roi_align` and
not what it is made of. `nms` and `roi_align` run on the CPU; the others have shapes only.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
from torch import Tensor, nn

_ROIS = "Tensor input, Tensor rois, float spatial_scale, SymInt pooled_height, SymInt pooled_width"
_SCHEMAS = (  # as in torchvision/csrc/ops
    "nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    "qnms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor",
    f"roi_align({_ROIS}, SymInt sampling_ratio, bool aligned) -> Tensor",
    f"roi_pool({_ROIS}) -> (Tensor, Tensor)",
    f"ps_roi_align({_ROIS}, SymInt sampling_ratio) -> (Tensor, Tensor)",
    f"ps_roi_pool({_ROIS}) -> (Tensor, Tensor)",
    (
        "deform_conv2d(Tensor input, Tensor weight, Tensor offset, Tensor mask, Tensor bias, "
        "SymInt stride_h, SymInt stride_w, SymInt pad_h, SymInt pad_w, SymInt dilation_h, "
        "SymInt dilation_w, SymInt groups, SymInt offset_groups, bool use_mask) -> Tensor"
    ),
)
_MOST_SAMPLES = 2**23  # values that roi_align interpolates at a time
_libraries: list[torch.library.Library] = []  # a library lives as long as its object


def declare() -> None:
    """Declare the operators, so that torchvision can be imported; once is enough."""
    if _libraries:
        return
    library = torch.library.Library("torchvision", "FRAGMENT")
    _libraries.append(library)
    for schema in _SCHEMAS:
        library.define(schema)
    library.impl("nms", nms, "CPU")
    library.impl("roi_align", roi_align, "CPU")
    fakes: dict[str, Callable[..., object]] = {
        "roi_align": _fake_roi_align,
        "roi_pool": _fake_roi_pool,
        "ps_roi_align": _fake_ps_roi,
        "ps_roi_pool": _fake_ps_roi,
        "deform_conv2d": _fake_deform_conv2d,
    }  # torchvision's own Python declares that of nms
    for name, fake in fakes.items():
        torch.library.register_fake(f"torchvision::{name}", fake, lib=library)


def use() -> None:
    """Make the imported torchvision call the declared operators."""
    for name, module in list(sys.modules.items()):
        if name.split(".")[0] != "torchvision":
            continue
        for asked, answer in {"_has_ops": _has_ops, "_assert_has_ops": _nothing_to_assert}.items():
            if hasattr(module, asked):
                setattr(module, asked, answer)


def _has_ops() -> bool:
    return True


def _nothing_to_assert() -> None:
    """Nothing to say: the operators are there."""


def nms(dets: Tensor, scores: Tensor, iou_threshold: float) -> Tensor:
    """Greedy suppression: boxes `[N, 4]` (x1, y1, x2, y2), scores `[N]` -> kept rows, best first.

    >>> boxes = torch.tensor([[0.0, 0, 2, 2], [0, 0, 2, 1.9], [5, 5, 6, 6]])
    >>> nms(boxes, torch.tensor([0.5, 0.9, 0.1]), 0.5).tolist()
    [1, 2]
    """
    areas = (dets[:, 2] - dets[:, 0]) * (dets[:, 3] - dets[:, 1])
    rest = scores.sort(descending=True, stable=True).indices
    kept = []
    while rest.numel():
        best, rest = rest[0], rest[1:]
        kept.append(best)
        corner = torch.maximum(dets[best, :2], dets[rest, :2])
        sides = (torch.minimum(dets[best, 2:], dets[rest, 2:]) - corner).clamp(min=0)
        common = sides[:, 0] * sides[:, 1]
        rest = rest[~(common / (areas[best] + areas[rest] - common) > iou_threshold)]  # NaN stays
    return torch.stack(kept) if kept else rest


def roi_align(
    image: Tensor,
    rois: Tensor,
    spatial_scale: float,
    pooled_height: int,
    pooled_width: int,
    *rest: int,
) -> Tensor:
    """`[N, C, H, W]`, rois `[K, 5]` (image, x1, y1, x2, y2) -> `[K, C, PH, PW]`: mean of samples.

    `rest` is (samples along a bin's side, or 0 for as many as it has pixels; whether pixel centres
    lie at halves). Samples further than a pixel outside the image are 0, as in the compiled one.
    """
    sampling, aligned = rest
    boxes = rois[:, 1:] * spatial_scale - (0.5 if aligned else 0.0)
    sizes = boxes[:, 2:] - boxes[:, :2]
    if not aligned:
        sizes = sizes.clamp(min=1.0)
    bins = rois.new_tensor([pooled_width, pooled_height])
    sides = sizes / bins  # of a bin: width, height
    pooled = image.new_zeros((len(rois), image.shape[1], pooled_height, pooled_width))
    counts = torch.full_like(sides, sampling) if sampling > 0 else sides.ceil()
    # Regions of one image that take as many samples go together, some at a time.
    keys = torch.stack((rois[:, 0], counts[:, 0], counts[:, 1]), dim=1).long()
    for key in keys.unique(dim=0):
        index, across, down = (int(value) for value in key)
        if min(across, down) < 1:  # an empty region: no samples, 0
            continue
        values = image.shape[1] * pooled_height * down * pooled_width * across
        for some in (keys == key).all(dim=1).nonzero()[:, 0].split(max(1, _MOST_SAMPLES // values)):
            x = _samples(boxes[some, 0], sides[some, 0], pooled_width, across)
            y = _samples(boxes[some, 1], sides[some, 1], pooled_height, down)
            taken = _bilinear(image[index], x, y)  # [C, regions, PH x down, PW x across]
            means = nn.functional.avg_pool2d(taken, (down, across))
            pooled[some] = means.transpose(0, 1)
    return pooled


def _samples(start: Tensor, side: Tensor, bins: int, count: int) -> Tensor:
    """Where bins are sampled along one axis: `[K]` -> `[K, bins x count]`."""
    steps = (torch.arange(bins * count, device=start.device) + 0.5) / count
    return start[:, None] + side[:, None] * steps


def _bilinear(image: Tensor, x: Tensor, y: Tensor) -> Tensor:
    """Values of `[C, H, W]` at x `[K, X]` and y `[K, Y]`: `[C, K, Y, X]`."""
    _, height, width = image.shape
    inside = ((y >= -1) & (y <= height))[:, :, None] & ((x >= -1) & (x <= width))[:, None, :]
    grid = torch.stack(
        torch.broadcast_tensors(
            (2 * x / max(width - 1, 1) - 1)[:, None, :],
            (2 * y / max(height - 1, 1) - 1)[:, :, None],
        ),
        dim=-1,
    )  # [K, Y, X, 2], from -1 to 1
    values = nn.functional.grid_sample(
        image[None], grid.flatten(0, 1)[None], padding_mode="border", align_corners=True
    )
    return values.view(-1, *inside.shape) * inside


def _fake_roi_align(
    image: Tensor, rois: Tensor, scale: float, height: int, width: int, *_rest: object
) -> Tensor:
    del scale
    return image.new_empty((rois.shape[0], image.shape[1], height, width))


def _fake_roi_pool(
    image: Tensor, rois: Tensor, scale: float, height: int, width: int
) -> tuple[Tensor, Tensor]:
    """The pooled values, and where each came from."""
    del scale
    shape = (rois.shape[0], image.shape[1], height, width)
    return image.new_empty(shape), image.new_empty(shape, dtype=torch.int32)


def _fake_ps_roi(
    image: Tensor, rois: Tensor, scale: float, height: int, width: int, *_rest: object
) -> tuple[Tensor, Tensor]:
    """The pooled values, and the channel each came from."""
    del scale
    shape = (rois.shape[0], image.shape[1] // (height * width), height, width)
    return image.new_empty(shape), image.new_empty(shape, dtype=torch.int32)


def _fake_deform_conv2d(image: Tensor, weight: Tensor, offset: Tensor, *_rest: object) -> Tensor:
    return image.new_empty((image.shape[0], weight.shape[0], *offset.shape[-2:]))
