"""From torch tensors to the graph's tensors: one `Storage` per torch storage, known by identity."""

from __future__ import annotations

import weakref

import torch
from torch.multiprocessing.reductions import StorageWeakRef

from fuseline.errors import InputError
from fuseline.graph import ITEM_BYTES, Builder, Role


def dtype_name(dtype: torch.dtype) -> str:
    """torch's own name of a dtype, without `torch.`."""
    return str(dtype).removeprefix("torch.")


def identity(tensor: torch.Tensor) -> int:
    """What tells the tensor's storage from every other one while either lives."""
    return tensor.untyped_storage()._cdata  # noqa: SLF001 - torch has no public name for it


class StorageTable:
    """Gives every torch storage and value seen an id in the graph under construction.

    Storages are held weakly: their bytes go when the model lets go of them, and torch does not
    give the address of one that is still known here to another.
    """

    def __init__(self) -> None:
        self.build = Builder()
        self._storages: dict[int, tuple[int, Role]] = {}  # torch storage -> (id, role)
        self._known: list[StorageWeakRef] = []
        self._held: dict[int, int] = {}  # id(parameter or buffer) -> graph tensor
        self._alive: list[torch.Tensor] = []  # parameters and buffers, and what stands for them

    def own(self, tensor: torch.Tensor, role: Role) -> Role:
        """Claim the tensor's storage for `role`, unless it has one; returns the role it has."""
        storage = tensor.untyped_storage()
        key = storage._cdata  # noqa: SLF001 - as `identity`
        if key not in self._storages:
            self._storages[key] = (self.build.storage(storage.nbytes(), role), role)
            self._known.append(StorageWeakRef(storage))
        return self._storages[key][1]

    def knows(self, tensor: torch.Tensor) -> bool:
        """Whether the tensor's storage has been seen."""
        return identity(tensor) in self._storages

    def add(self, name: str, tensor: torch.Tensor, role: Role = Role.ACTIVATION) -> int:
        """A new graph tensor for this value; its id."""
        dtype = dtype_name(tensor.dtype)
        if dtype not in ITEM_BYTES:
            raise InputError(f"'{name}' has dtype {dtype}, whose size is not known")
        if tensor.layout is not torch.strided:
            raise InputError(f"'{name}' is a {tensor.layout} tensor: only dense ones are read")
        self.own(tensor, Role.ACTIVATION)
        return self.build.tensor(
            name,
            tuple(tensor.shape),
            dtype=dtype,
            role=role,
            storage=self._storages[identity(tensor)][0],
            offset=int(tensor.storage_offset()),
            strides=tuple(tensor.stride()),
        )

    def held(self, name: str, tensor: torch.Tensor) -> int:
        """The one graph tensor of a parameter, buffer or constant; its id."""
        if id(tensor) not in self._held:
            role = self.own(tensor, Role.CONSTANT)
            self._held[id(tensor)] = self.add(name, tensor, role)
            self._alive.append(tensor)
        return self._held[id(tensor)]


class Values:
    """Which graph tensor a torch tensor is, and which op made it.

    Known by the Python object while it lives; a new object over the same window of the same
    storage is the value last seen there.
    """

    def __init__(self) -> None:
        self._by_object: dict[int, tuple[weakref.ref[torch.Tensor], int, int, int]] = {}
        self._by_window: dict[tuple[object, ...], tuple[int, int]] = {}

    def note(self, tensor: torch.Tensor, number: int, maker: int) -> None:
        """`tensor` is graph tensor `number`, made by op `maker` (-1: no op made it)."""
        self._by_object[id(tensor)] = (weakref.ref(tensor), identity(tensor), number, maker)
        self._by_window[_window(tensor)] = (number, maker)

    def find(self, tensor: torch.Tensor) -> tuple[int, int] | None:
        """(graph tensor, op that made it), or None for a tensor that was not seen."""
        known = self._by_object.get(id(tensor))
        if known is not None and known[0]() is tensor and known[1] == identity(tensor):
            return known[2], known[3]  # `x.data = y` gives an object another storage
        return self._by_window.get(_window(tensor))


def _window(tensor: torch.Tensor) -> tuple[object, ...]:
    return (
        identity(tensor),
        tensor.storage_offset(),
        tuple(tensor.shape),
        tuple(tensor.stride()),
        tensor.dtype,
    )
