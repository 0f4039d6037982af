"""Small graphs that reports are tried on, their figures counted by hand."""

from __future__ import annotations

from fuseline.graph import Builder, Graph, Kind, Origin, Role, Status, Work

SQUARE = (4, 4)
SQUARE_BYTES = 64  # 16 float32


def tower(blocks: int = 3, prefix: str = "net.blocks.") -> Graph:
    """stem -> blocks of (linear -> relu -> add of the block's own input) -> head.

    Every tensor and weight is 4 x 4 (64 bytes); a linear is 2 * 4 * 4 * 4 = 128 FLOPs, a relu or
    an add 16 other FLOPs.
    """
    build = Builder()

    def op(name: str, kind: Kind, module: str, inputs: list[int], *, weight: bool = False) -> int:
        held = [build.tensor(f"{name}.weight", SQUARE, role=Role.PARAMETER)] if weight else []
        work = Work(128 if weight else 0, 0 if weight else 16, Status.COUNTED)
        return build.op(
            name, kind, inputs=inputs, parameters=held, shape=SQUARE, module_path=module,
            target=kind.value, origin=Origin.ATEN, work=work,
        )  # fmt: skip

    x = build.tensor("x", SQUARE, role=Role.INPUT)
    x = op("stem", Kind.LINEAR, "net.stem", [x], weight=True)
    for block in range(blocks):
        module = f"{prefix}{block}"
        fc = op(f"fc_{block}", Kind.LINEAR, f"{module}.fc", [x], weight=True)
        act = op(f"act_{block}", Kind.RELU, f"{module}.act", [fc])
        x = op(f"add_{block}", Kind.ADD, module, [x, act])
    return build.finish([op("head", Kind.LINEAR, "net.head", [x], weight=True)])
