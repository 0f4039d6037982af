"""Our plan beside the one that Inductor makes of the same recorded program."""

from __future__ import annotations

import pytest
import torch
from torch import nn
from torch.nn import functional as F  # noqa: N812 - torch's own name for it

from fuseline.frontends import write_script
from fuseline.frontends.sources.find import find_model
from fuseline.frontends.sources.sourced import Options, Sourced
from fuseline.validate.inductor.agreement import Agreement, agreement
from fuseline.validate.inductor.ours import our_plan
from fuseline.validate.inductor.plan import read_plan
from fuseline.validate.inductor.read import Schedule

FLOAT = 4


def held(model: nn.Module, *inputs: torch.Tensor) -> Agreement:
    script = write_script(Sourced(model.eval(), (inputs, {}), "model", "python", 1, "float32"))
    schedule = Schedule()
    planned, ours = our_plan(script.graph, schedule)
    return agreement(script.graph, ours, read_plan(script, schedule), planned=planned)


class Joined(nn.Module):
    """Two branches, each written into its slice of one tensor, before a convolution."""

    def __init__(self) -> None:
        super().__init__()
        self.stem, self.end = nn.Conv2d(3, 8, 3), nn.Conv2d(16, 4, 1)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        x = self.stem(x)
        return self.end(torch.cat([F.relu(x), torch.tanh(x)], dim=1))


def test_channels_last_branches_agree_to_the_byte() -> None:
    found = held(Joined(), torch.randn(1, 3, 10, 10))
    image, weight, features = 300 * FLOAT, 216 * FLOAT, 512 * FLOAT
    joined, end, bias = 2 * features, 256 * FLOAT, 64 * FLOAT + 4 * FLOAT
    # copies of image and weight; the stem; two slices in one kernel, which read the same; a copy of
    # them channels last; the end; a copy of that as it is returned, channels first
    expected = 2 * image + 2 * weight + (image + weight + 8 * FLOAT + features)
    expected += features + joined + 2 * joined + (joined + bias + end) + 2 * end
    assert (found.ours_launches, found.real_launches) == (7, 7)
    assert found.real_nbytes == expected
    assert found.ours_nbytes == expected
    assert found.pairs.ours == found.pairs.real == found.pairs.both == 3  # cat, relu and tanh


def test_causes_and_kernels_add_up_to_the_difference() -> None:
    # Rows of seven by a window: a program on which our rules need not be right.
    def forward(x: torch.Tensor) -> torch.Tensor:
        windows = F.unfold(x, 3).transpose(1, 2)
        return F.layer_norm(windows.softmax(-1), (windows.shape[-1],)).sum(1)

    class Windows(nn.Module):
        def forward(self, x: torch.Tensor) -> torch.Tensor:
            return forward(x)

    found = held(Windows(), torch.randn(1, 4, 9, 9))
    nbytes = found.ours_nbytes - found.real_nbytes
    launches = found.ours_launches - found.real_launches
    assert sum(row.nbytes for row in found.causes) == nbytes
    assert sum(row.launches for row in found.causes) == launches
    assert sum(row.nbytes for row in found.kernel_rows) == nbytes
    assert sum(row.launches for row in found.kernel_rows) == launches


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "kernels"),
    [("vit_b_16", 145), ("resnet50", 122), ("efficientnet_b0", 198)],
)
def test_models_agree_on_the_cpu(name: str, kernels: int) -> None:
    script = write_script(find_model(name, Options()))
    planned, ours = our_plan(script.graph, Schedule())
    found = agreement(script.graph, ours, read_plan(script, Schedule()), planned=planned)
    assert (found.ours_launches, found.real_launches) == (kernels, kernels)
    assert abs(found.bytes_ratio - 1) < 0.001
    assert min(found.pair_precision, found.pair_recall) == 1.0
