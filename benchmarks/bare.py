"""What any tool on torch.fx must do: import torch and torchvision, build ViT-B/16, trace it."""

import torch

library = torch.library.Library("torchvision", "FRAGMENT")
for operator in ("nms", "qnms"):  # looked up by torchvision's Python code; missing on a mismatch
    library.define(f"{operator}(Tensor dets, Tensor scores, float iou_threshold) -> Tensor")

import torchvision  # noqa: E402 - after the operators

with torch.device("meta"):
    model = torchvision.models.vit_b_16(weights=None)
torch.fx.symbolic_trace(model.eval())
