"""L2Rec reads on: who needs no call, who is read from the start, and who only from where it stopped."""

from collections.abc import Sequence

import torch
from jaxtyping import Float
from torch import Tensor

from l2rec.models._base import Retriever
from l2rec.models._prefix import PrefixReader
from l2rec.nn import continuing
from l2rec.nn.network import Network
from l2rec.nn.prefix import Prefix
from l2rec.nn.prompts import Tokens
from l2rec.types import Batch


class Resuming(Retriever, PrefixReader):
    """A retriever on a dual-view network, which keeps what it read.

    Attributes:
        network: The network; in evaluation mode whenever it reads on.
        tokens: The catalogue's tokens.
    """

    network: Network
    tokens: Tokens

    def read_on(
        self,
        prefixes: Sequence[Prefix | None],
        histories: Sequence[Sequence[int]],
        attributes: Float[Tensor, "B A"],
    ) -> tuple[Float[Tensor, "B D"], list[Prefix | None]]:
        """See the base class; one call for whole histories, one for those that grew, none for those that did not."""
        for row, (prefix, history) in enumerate(zip(prefixes, histories, strict=True)):
            self._refuse(row, prefix, history, attributes[row])
        found: dict[int, tuple[Tensor, Prefix | None]] = {}
        whole: list[int] = []
        grown: list[int] = []
        for row, (prefix, history) in enumerate(zip(prefixes, histories, strict=True)):
            if prefix is not None and len(prefix.items) == len(history):
                found[row] = (prefix.vector, prefix)
            elif history:
                (whole if prefix is None else grown).append(row)
        with torch.no_grad():
            for rows in filter(None, (whole, grown)):
                given = [p for row in rows if (p := prefixes[row]) is not None]
                asked = [histories[row] for row in rows]
                tokens = self.tokens.to(attributes.device)
                vectors, read = continuing.read_on(self.network, tokens, given, asked, attributes[rows])
                found |= dict(zip(rows, zip(vectors, read, strict=True), strict=True))
            if len(found) < len(histories):
                crowd = self.user_vectors(_nobody(attributes[:1]))[0]
                found |= {row: (crowd, None) for row in range(len(histories)) if row not in found}
        answers = [found[row] for row in range(len(histories))]
        return torch.stack([vector for vector, _ in answers]), [prefix for _, prefix in answers]

    def _refuse(self, row: int, prefix: Prefix | None, history: Sequence[int], own: Float[Tensor, " A"]) -> None:
        longest = self.settings.history
        if len(history) > longest:
            raise ValueError(f"history {row}: {len(history)} items: over {longest}. Pass the newest {longest}.")
        if prefix is not None and not prefix.begins(history, own):
            raise ValueError(f"prefix {row}: not how its history or its attributes begin. Pass None, to read it all.")


def _nobody(attributes: Float[Tensor, "1 A"]) -> Batch:
    """A user of whom nothing is known."""
    items = torch.zeros(1, 1, dtype=torch.long, device=attributes.device)
    return Batch(items, torch.zeros_like(items, dtype=torch.bool), items, attributes)
