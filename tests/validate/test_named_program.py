from __future__ import annotations

import pytest
import torch
from torch import fx, nn
from torch.export import ExportedProgram

from fuseline import capture
from fuseline.errors import InputError
from fuseline.frontends.sources.inputs import prepare
from fuseline.frontends.sources.sourced import Options, Sourced
from fuseline.validate.named_program import export_named, op_of
from fuseline.validate.quiet import quiet


class Net(nn.Module):
    """A norm, a view and an activation in place."""

    def __init__(self) -> None:
        super().__init__()
        self.conv, self.norm = nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.norm(self.conv(x)).relu_().flatten(1)


@pytest.fixture(name="sourced", scope="module")
def _sourced() -> Sourced:
    return prepare(Net().eval(), (torch.rand(1, 3, 8, 8),), Options(), name="Net", source="module")


def test_every_node_has_the_name_of_its_op(sourced: Sourced) -> None:
    graph = capture(Net().eval(), (torch.rand(1, 3, 8, 8),))
    program = export_named(sourced, graph).program
    names = [op.name for op in graph.ops]
    assert names == ["conv2d", "batch_norm", "relu", "flatten"]
    with quiet():
        decomposed = program.run_decompositions()
    assert list(map(op_of, _calls(program))) == names
    # a norm is two nodes; the view of what was written in place is torch's own, made anew
    assert list(map(op_of, _calls(decomposed))) == ["conv2d", *["batch_norm"] * 2, "relu", ""]
    assert str(_calls(decomposed)[-1].target) == "aten.view.default"


def _calls(program: ExportedProgram) -> list[fx.Node]:
    return [node for node in program.graph.nodes if node.op == "call_function"]


def test_the_calls_compute_what_the_model_does(sourced: Sourced) -> None:
    graph = capture(Net().eval(), (torch.rand(1, 3, 8, 8),))
    named = export_named(sourced, graph)
    with torch.no_grad():
        (ran,) = named.module(*named.inputs)
        (exported,) = named.program.module()(*named.inputs)
    assert ran.shape == (1, 4 * 6 * 6)
    assert ran.abs().sum() > 0
    assert torch.equal(ran, exported)


def test_a_graph_of_something_else_is_refused(sourced: Sourced) -> None:
    graph = capture(nn.ReLU(), (torch.zeros(2),))
    with pytest.raises(InputError, match="is not that of 'Net' recorded with fused attention"):
        export_named(sourced, graph)
