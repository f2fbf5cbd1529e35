"""A process that tells a store events, and says on stdout which batch was acknowledged: URL NAME FIRST LAST SIZE."""

import sys

from l2rec.serving.records import Event
from l2rec.serving.store.opening import open_store


def main(url: str, name: str, first: int, last: int, size: int) -> None:
    """Appends the batches from `first` to before `last`, each of `size` events of one user."""
    store = open_store(url)
    for batch in range(first, last):
        store.append([Event(f"{name} {batch} {n}", name, str(n), float(batch)) for n in range(size)])
        sys.stdout.write(f"{batch}\n")
        sys.stdout.flush()
    store.close()


if __name__ == "__main__":
    main(sys.argv[1], sys.argv[2], *map(int, sys.argv[3:]))
