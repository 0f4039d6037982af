"""From torch tensors to the graph's tensors: one `Storage` per torch storage, known by identity."""

from __future__ import annotations

import torch

from fuseline.errors import InputError
from fuseline.graph import ITEM_BYTES, Builder, Role


def dtype_name(dtype: torch.dtype) -> str:
    """torch's own name of a dtype, without `torch.`."""
    return str(dtype).removeprefix("torch.")


class StorageTable:
    """Gives every torch storage and value seen an id in the graph under construction.

    Tensors are kept alive: torch reuses the address of a dead storage.
    """

    def __init__(self) -> None:
        self.build = Builder()
        self._storages: dict[int, tuple[int, Role]] = {}  # torch storage -> (id, role)
        self._held: dict[int, int] = {}  # id(parameter or buffer) -> graph tensor
        self._alive: list[torch.Tensor] = []

    def own(self, tensor: torch.Tensor, role: Role) -> Role:
        """Claim the tensor's storage for `role`, unless it has one; returns the role it has."""
        key = _identity(tensor)
        if key not in self._storages:
            nbytes = tensor.untyped_storage().nbytes()
            self._storages[key] = (self.build.storage(nbytes, role), role)
            self._alive.append(tensor)
        return self._storages[key][1]

    def knows(self, tensor: torch.Tensor) -> bool:
        """Whether the tensor's storage has been seen."""
        return _identity(tensor) in self._storages

    def add(self, name: str, tensor: torch.Tensor, role: Role = Role.ACTIVATION) -> int:
        """A new graph tensor for this value; its id."""
        dtype = dtype_name(tensor.dtype)
        if dtype not in ITEM_BYTES:
            raise InputError(f"'{name}' has dtype {dtype}, whose size is not known")
        if tensor.layout is not torch.strided:
            raise InputError(f"'{name}' is a {tensor.layout} tensor: only dense ones are read")
        self.own(tensor, Role.ACTIVATION)
        self._alive.append(tensor)
        return self.build.tensor(
            name,
            tuple(tensor.shape),
            dtype=dtype,
            role=role,
            storage=self._storages[_identity(tensor)][0],
            offset=int(tensor.storage_offset()),
            strides=tuple(tensor.stride()),
        )

    def held(self, name: str, tensor: torch.Tensor) -> int:
        """The one graph tensor of a parameter, buffer or constant; its id."""
        if id(tensor) not in self._held:
            role = self.own(tensor, Role.CONSTANT)
            self._held[id(tensor)] = self.add(name, tensor, role)
        return self._held[id(tensor)]


def _identity(tensor: torch.Tensor) -> int:
    return tensor.untyped_storage()._cdata  # noqa: SLF001 - torch has no public name for it
