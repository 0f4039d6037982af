"""What a recorded graph says of attention, constants, parameters, custom ops and its limits."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

import fuseline
from fuseline import InputError, OpClass, capture, cost, partition
from fuseline.costs import CUSTOM, group_traffic
from fuseline.graph import Graph, Kind, Op, Role, Status
from fuseline.graph.files import decode, encode, find_fault


def only(graph: Graph, kind: Kind) -> Op:
    (op,) = (op for op in graph.ops if op.kind is kind)
    return op


class Attends(nn.Module):
    """4 query heads of 2, 2 key and value heads, 5 tokens."""

    def __init__(self, *, causal: bool) -> None:
        super().__init__()
        self.causal = causal
        self.qkv, self.out = nn.Linear(8, 8 + 4 + 4), nn.Linear(8, 8)

    def forward(self, x: Tensor) -> Tensor:
        q, k, v = self.qkv(x).split((8, 4, 4), -1)
        q, k, v = (t.unflatten(-1, (-1, 2)).transpose(1, 2) for t in (q, k, v))
        y = functional.scaled_dot_product_attention(q, k, v, is_causal=self.causal, enable_gqa=True)
        return self.out(y.transpose(1, 2).flatten(2))


# 3 sequences of 5 tokens: projections 8 -> 16 and 8 -> 8, then 4 heads of 5 x 5 scores of width 2
PROJECTIONS = 2 * 15 * 8 * (16 + 8)
SCORES = 2 * 3 * 4 * 25 * (2 + 2)


@pytest.mark.parametrize("causal", [True, False])
def test_attention_is_one_op_or_five_and_counts_the_same(*, causal: bool) -> None:
    model, x = Attends(causal=causal).eval(), torch.empty(3, 5, 8)
    fused, parts = capture(model, x), capture(model, x, attention="decomposed")
    assert fused.flops == parts.flops == PROJECTIONS + SCORES
    # a query sees itself and what came before: 15 of 25 pairs
    seen = SCORES * 15 // 25 if causal else SCORES
    assert fused.causal_flops == parts.causal_flops == PROJECTIONS + seen
    assert only(fused, Kind.SCALED_DOT_PRODUCT_ATTENTION).op_class is OpClass.ATTENTION
    kinds = [op.kind for op in parts.ops if op.is_compute]
    steps = [Kind.MATMUL, Kind.MUL, *([Kind.WHERE] if causal else []), Kind.SOFTMAX, Kind.MATMUL]
    assert [kind for kind in kinds if kind in steps] == steps
    # the mask is made of constants alone: ones, their triangle, its negation
    assert sum(op.is_compute for op in parts.folded) == (3 if causal else 0)


def test_merging_heads_after_attention_is_a_view() -> None:
    graph = capture(Attends(causal=True).eval(), torch.empty(3, 5, 8))
    after = [op for op in graph.ops if op.id > only(graph, Kind.SCALED_DOT_PRODUCT_ATTENTION).id]
    assert [op.target for op in after if op.is_compute] == ["linear"]


def test_traffic_of_grouped_attention_reads_each_head_once() -> None:
    graph = capture(Attends(causal=False).eval(), torch.empty(3, 5, 8))
    attention = only(graph, Kind.SCALED_DOT_PRODUCT_ATTENTION)
    # q and the result of 15 x 8 floats, k and v of 15 x 4
    assert group_traffic(graph, (attention.id,)).nbytes == 4 * 15 * (8 + 4 + 4 + 8)


class Masked(nn.Module):
    """Standardised weights, a mask of constants, and a buffer that no input changes."""

    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(4, 4))
        self.register_buffer("counts", torch.zeros(4))

    def forward(self, x: Tensor) -> Tensor:
        weight = self.weight / self.weight.norm()
        mixed = functional.linear(x, weight @ weight)
        mask = torch.ones(4, 4).tril().log()
        self.counts.add_(1)
        return mixed + mask


def test_constants_are_folded_listed_and_priced_once() -> None:
    graph = capture(Masked().eval(), torch.empty(4, 4))
    folded = [op.target for op in graph.folded if op.is_compute]
    assert sorted(folded) == ["div", "linalg_vector_norm", "log", "matmul", "ones", "tril"]
    # what is written to a buffer stays: the next run sees it
    assert [op.target for op in graph.ops] == ["linear", "add_", "add"]
    assert graph.folded_flops == 2 * 4 * 4 * 4
    assert graph.flops == 2 * graph.folded_flops
    linear = only(graph, Kind.LINEAR)
    # x, the folded weight and the result, 64 bytes each
    assert group_traffic(graph, (linear.id,)).nbytes == 3 * 64
    assert group_traffic(graph, (linear.id,)).parameters == 64
    # of what the model holds: the weight and the counts, not what folding left
    assert graph.parameter_bytes == 64 + 16
    price = cost(graph, partition(graph, "unfused"))
    assert price.flops == graph.flops - graph.folded_flops


def test_weights_are_no_constants_while_they_train() -> None:
    graph = capture(Masked().train(), torch.empty(4, 4))
    assert sorted(op.target for op in graph.folded) == ["log", "ones", "tril"]
    assert graph.source.mode == "train"


def test_a_folded_graph_survives_its_file() -> None:
    graph = capture(Masked().eval(), torch.empty(4, 4))
    again = decode(encode(graph), "graph")
    assert again == graph
    assert (again.flops, again.parameter_bytes) == (graph.flops, graph.parameter_bytes)
    assert find_fault(again) is None


class Tied(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.embed, self.head = nn.Embedding(10, 4), nn.Linear(4, 10, bias=False)
        self.head.weight = self.embed.weight
        self.twice = nn.Linear(4, 4)

    def forward(self, ids: Tensor) -> Tensor:
        return self.head(self.twice(self.twice(self.embed(ids))))


def test_parameters_shared_between_modules_count_once() -> None:
    graph = capture(Tied(), torch.zeros(1, 3, dtype=torch.int64))
    assert graph.parameter_bytes == 4 * (40 + 16 + 4)
    assert [op.module_path for op in graph.ops] == ["embed", "twice", "twice", "head"]
    assert [op.module_class for op in graph.ops] == ["Embedding", "Linear", "Linear", "Linear"]


def test_one_token_does_not_read_the_whole_table() -> None:
    graph = capture(nn.Embedding(1000, 8), torch.zeros(1, dtype=torch.int64))
    assert group_traffic(graph, (0,)).nbytes == 8 + 32 + 32
    assert graph.parameter_bytes == 32


class Appends(nn.Module):
    """A static cache: [2, 100, 4], one row written where `place` says."""

    def forward(self, cache: Tensor, row: Tensor, place: Tensor) -> Tensor:
        cache.index_copy_(1, place, row)
        return cache.sum()


def test_an_append_writes_only_its_slice() -> None:
    inputs = torch.empty(2, 100, 4), torch.empty(2, 1, 4), torch.zeros(1, dtype=torch.int64)
    graph = capture(Appends(), inputs)
    scatter = only(graph, Kind.SCATTER)
    # the index of 8 bytes, a row of 32 read and written; then the sum reads all 3200
    traffic = group_traffic(graph, (scatter.id,))
    assert (traffic.reads, traffic.writes) == (8 + 32, 32)
    assert group_traffic(graph, (only(graph, Kind.SUM).id,)).reads == 3200


class Experts(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(8, 16, 32, dtype=torch.bfloat16))

    def forward(self, x: Tensor, ends: Tensor) -> Tensor:
        return torch._grouped_mm(x, self.weight, offs=ends)  # noqa: SLF001 - as models call it


def test_a_grouped_product_reads_no_more_experts_than_it_has_rows() -> None:
    x, ends = torch.empty(3, 16, dtype=torch.bfloat16), torch.zeros(8, dtype=torch.int32)
    graph = capture(Experts(), (x, ends))
    assert graph.flops == 2 * 3 * 16 * 32
    assert graph.parameter_bytes == 3 * 16 * 32 * 2


def test_recurrent_layers_are_one_op_each_with_all_their_weights() -> None:
    model = nn.LSTM(8, 6, 2, bidirectional=True)
    graph = capture(model.eval(), torch.empty(5, 3, 8))
    # 15 tokens, 2 directions: layer 1 takes 8, layer 2 takes 12; 4 gates of 6
    assert graph.flops == 2 * 15 * 2 * (24 * (8 + 6) + 24 * (12 + 6))
    assert only(graph, Kind.LSTM).work.status is Status.COUNTED
    assert graph.parameter_bytes == sum(p.nbytes for p in model.parameters())


class Spectrum(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.fft.fft(x)


def test_fourier_transforms_are_other_work() -> None:
    graph = capture(Spectrum(), torch.empty(3, 16, dtype=torch.complex64))
    assert (graph.flops, graph.other_flops) == (0, 5 * 48 * 4)  # 5 N log2 n


@dataclass
class Answer:
    logits: Tensor
    hidden: tuple[Tensor, ...]


class Answers(nn.Module):
    def forward(self, x: Tensor) -> Answer:
        return Answer(x + 1, (x * 2, x))


def test_results_may_be_nested_and_inputs_may_come_back() -> None:
    graph = capture(Answers(), torch.empty(4))
    roles = [graph.tensors[output].role for output in graph.outputs]
    assert roles == [Role.OUTPUT, Role.OUTPUT, Role.INPUT]
    assert graph.compulsory_bytes == 16 + 2 * 16


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_quantised_layers_are_counted_with_the_weights_they_pack() -> None:
    quantization = torch.ao.quantization
    net = nn.Sequential(nn.Linear(8, 16), nn.ReLU()).eval()
    dynamic = quantization.quantize_dynamic(net, {nn.Linear})  # type: ignore[deprecated]
    graph = capture(dynamic, torch.empty(2, 8))
    assert graph.unknown_ops == ()
    assert graph.flops == 2 * 2 * 8 * 16
    assert graph.parameter_bytes == 8 * 16 + 4 * 16  # int8 weights, float biases


@pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::UserWarning")
def test_quantised_activations_run_for_real() -> None:
    quantization = torch.ao.quantization
    parts = quantization.QuantStub(), nn.Conv2d(3, 8, 3), quantization.DeQuantStub()
    net = nn.Sequential(*parts).eval()
    net.qconfig = quantization.get_default_qconfig("x86")  # type: ignore[assignment]
    prepared = quantization.prepare(net)  # type: ignore[deprecated]
    prepared(torch.randn(1, 3, 8, 8))
    static = quantization.convert(prepared).eval()  # type: ignore[deprecated]
    graph = capture(static, torch.empty(1, 3, 8, 8))
    assert "recorded on small real tensors" in graph.source.notes[-1]
    assert graph.unknown_ops == ()
    assert graph.flops == 2 * 8 * 36 * 27
    kinds = [op.kind for op in graph.ops if op.is_compute]
    assert kinds == [Kind.QUANTIZE, Kind.CONV2D, Kind.DEQUANTIZE]


# --- what cannot be known -------------------------------------------------------------------


@pytest.fixture
def stretch() -> Iterator[str]:
    with torch.library._scoped_library("fuselinetest", "FRAGMENT") as library:  # noqa: SLF001
        library.define("stretch(Tensor x, int by) -> Tensor")
        library.impl("stretch", lambda x, by: x.repeat(by), "CompositeExplicitAutograd")
        yield "fuselinetest::stretch"
        CUSTOM.pop("fuselinetest::stretch", None)


class Stretches(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.ops.fuselinetest.stretch(x, 3).relu()


def test_a_custom_op_is_unknown_and_never_fuses(stretch: str) -> None:
    graph = capture(Stretches(), torch.empty(4))
    (unknown,) = graph.unknown_ops
    assert unknown.target == stretch
    assert group_traffic(graph, (unknown.id,)).nbytes == 16 + 48  # priced all the same
    assert len(partition(graph, "extended").groups) == 2


def test_a_custom_op_is_priced_by_its_users_formula(stretch: str) -> None:
    fuseline.register_op(stretch, lambda call: (0, call.out), OpClass.COPY)
    graph = capture(Stretches(), torch.empty(4))
    assert graph.unknown_ops == ()
    assert graph.other_flops == 12 + 12
    assert only(graph, Kind.CUSTOM).op_class is OpClass.COPY
    with pytest.raises(InputError, match="has a formula already"):
        fuseline.register_op(stretch, lambda call: (call.out, 0))


@pytest.mark.parametrize(
    ("formula", "said"),
    [
        (lambda call: (-1, 0), "gave -1, 0: not counts"),
        (lambda call: (0.5, 0), "gave 0.5, 0: not counts"),
        (lambda call: call.named["nothing"], "failed: KeyError: 'nothing'"),
    ],
)
def test_a_formula_that_cannot_be_is_one_line(stretch: str, formula: object, said: str) -> None:
    fuseline.register_op(stretch, formula)  # type: ignore[arg-type]  # what a user may well pass
    with pytest.raises(InputError, match=said):
        capture(Stretches(), torch.empty(4))


@pytest.mark.parametrize("name", ["rope", "::rope", "mylib::"])
def test_a_name_without_a_namespace_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="write it as namespace::name"):
        fuseline.register_op(name, lambda _call: (0, 0))


class Decides(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.first, self.second = nn.Linear(4, 4), nn.Linear(4, 4)

    def forward(self, x: Tensor) -> Tensor:
        x = self.first(x)
        kept = x[x.abs().sum(-1) > -1]  # as many rows as there are, but only a run knows
        return self.second(kept)


def test_a_model_that_decides_by_values_runs_on_small_real_ones_and_says_so() -> None:
    graph = capture(Decides().eval(), torch.empty(3, 4, device="meta"))
    (note,) = graph.source.notes
    assert "needs values that only a run has" in note
    assert "recorded on small real tensors, and true of these inputs only" in note
    assert graph.flops == 2 * 2 * 3 * 4 * 4
    assert graph.unknown_ops == ()


def test_the_model_is_left_as_it_was() -> None:
    model = Masked().eval()
    before = {name: (id(t), t.clone()) for name, t in model.state_dict(keep_vars=True).items()}
    capture(model, torch.empty(4, 4))
    after = model.state_dict(keep_vars=True)
    assert {name: id(t) for name, t in after.items()} == {n: i for n, (i, _) in before.items()}
    assert all(torch.equal(after[name], value) for name, (_, value) in before.items())


def test_inputs_that_do_not_fit_are_one_line() -> None:
    with pytest.raises(InputError, match=r"^'Tied' cannot run on inputs \(1, 3\)") as caught:
        capture(Tied(), torch.zeros(1, 3))
    assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match=r"^'Linear' cannot run on inputs \(2, 5\)"):
        capture(nn.Linear(4, 4), input_shapes=((2, 5),))


def test_recording_twice_gives_the_same_graph() -> None:
    model = Attends(causal=True).eval()
    first, second = (capture(model, torch.empty(3, 5, 8)) for _ in range(2))
    assert encode(first) == encode(second)
