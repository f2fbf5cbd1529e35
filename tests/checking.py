"""The checker of types and shapes during the tests: beartype, made to bear two hints that it refuses."""

from typing import Self

import polars as pl
from beartype import BeartypeConf, FrozenDict, beartype

# polars writes its DataType and unions of it differently; Self needs a decorated class, and only methods are decorated.
checked = beartype(conf=BeartypeConf(hint_overrides=FrozenDict({pl.DataType: object, Self: object})))
