"""Several texts in one sequence, kept apart by positions and a mask."""

from __future__ import annotations

from collections.abc import Sequence

import torch

from salmon_transformers.grouping import Ids


def filled(tokens: int, multiple: int) -> int:
    """The least multiple that is no less."""
    return -(-tokens // multiple) * multiple


class Layout:
    """Where the texts of each row lie in its packed sequence.

    Args:
        packs: for each row, texts; none empty.
        multiple: the width is one of this.

    Attributes:
        positions: int [rows, width]; restarts at 0 with each text.
        owner: int [rows, width]; number of the text a token belongs to, -1 for padding.
        last: int [n]; place of the last token of each text, row by row.
        row: int [n]; its row.
    """

    def __init__(self, packs: Sequence[Sequence[Ids]], device: torch.device, multiple: int = 1):
        self._packs, self._device = packs, device
        self._width = filled(max(sum(map(len, pack)) for pack in packs), multiple)
        positions, owners, last, rows = [], [], [], []
        for row, pack in enumerate(packs):
            place = [i for text in pack for i in range(len(text))]
            owner = [number for number, text in enumerate(pack) for _ in text]
            fill = self._width - len(place)
            positions.append(place + [0] * fill)
            owners.append(owner + [-1] * fill)
            end = -1
            for text in pack:
                end += len(text)
                last.append(end)
                rows.append(row)
        self.positions = torch.tensor(positions, device=device)
        self.owner = torch.tensor(owners, device=device)
        self.last = torch.tensor(last, device=device)
        self.row = torch.tensor(rows, device=device)

    def ids(self, pad_id: int) -> torch.Tensor:
        """int [rows, width]"""
        flat = [[token for text in pack for token in text] for pack in self._packs]
        return torch.tensor([[*ids, *[pad_id] * (self._width - len(ids))] for ids in flat], device=self._device)

    @property
    def texts(self) -> tuple[torch.Tensor | None, torch.Tensor | None]:
        """Texts by themselves.

        Returns:
            Places of their tokens in the rows laid end to end, filled up with any: int [n, longest]; and of each place,
            its token's number among these: int [rows, width]. None and None where each row is one whole text.
        """
        sizes = [len(text) for pack in self._packs for text in pack]
        if len(sizes) == len(self._packs) and min(sizes) == self._width:
            return None, None
        longest = max(sizes)
        starts = self.row * self._width + self.last + 1 - torch.tensor(sizes, device=self._device)
        steps = torch.arange(longest, device=self._device)
        places = (starts[:, None] + steps).clamp(max=self.owner.numel() - 1)
        first = torch.tensor([0, *(len(pack) for pack in self._packs[:-1])], device=self._device).cumsum(0)
        number = (first[:, None] + self.owner.clamp(min=0)) * longest + self.positions
        return places, number

    def mask(self, before: torch.Tensor, dtype: torch.dtype) -> torch.Tensor:
        """What each token sees: what its row has before, and what came before in the same text.

        Padding sees that and itself, so that no row of the softmax is empty.

        Args:
            before: bool [rows, positions before], false where there is nothing.

        Returns:
            Additive [rows, 1, width, positions before + width].
        """
        rows, positions = before.shape
        prefix = before[:, None, :].expand(rows, self._width, positions)
        own = (self.owner[:, :, None] == self.owner[:, None, :]).tril()
        seen = torch.cat([prefix, own], dim=-1)[:, None]
        mask = torch.full(seen.shape, torch.finfo(dtype).min, dtype=dtype, device=self._device)
        return mask.masked_fill_(seen, 0.0)
