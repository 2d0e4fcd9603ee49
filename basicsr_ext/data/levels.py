"""How strong a degradation is: fixed, from a range, or from a list."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
from typing_extensions import Self

from basicsr_ext.errors import OptionError, shown


@dataclass(frozen=True)
class Level:
    """A level, as `25`, `[0, 55]` (uniform) or `{choices: [15, 25, 50]}` (each equally likely) in an option file.

    Subclasses say with `low` and `high` which bounds every value has to respect.
    """

    values: tuple[float, ...]
    is_range: bool = False

    low: ClassVar[float]
    high: ClassVar[float]

    @classmethod
    def parse(cls, option: Any, where: str) -> Self:
        """Read the option.

        Args:
            option: the value in the option file.
            where: path of the option, named in errors.

        Raises:
            OptionError: another form, or a value out of bounds.
        """
        low, high = cls.low, cls.high
        is_range = isinstance(option, list)
        if isinstance(option, dict):
            values = option.get('choices') if set(option) == {'choices'} else None
        else:
            values = option if is_range else [option]
        numbers = isinstance(values, list) and all(
            isinstance(v, int | float) and not isinstance(v, bool) and low <= v <= high for v in values
        )
        if not numbers or not values or (is_range and (len(values) != 2 or values[0] > values[1])):
            raise OptionError(
                where,
                f'a number, [low, high] or {{choices: [...]}} between {low:g} and {high:g}',
                shown(option),
                'Correct the value.',
            )
        return cls(tuple(values), is_range)

    @classmethod
    def schema(cls) -> dict[str, Any]:
        """The forms of the option as JSON schema."""
        number = {'type': 'number', 'minimum': cls.low, 'maximum': cls.high}
        pair = {'type': 'array', 'items': number, 'minItems': 2, 'maxItems': 2}
        choices = {'type': 'array', 'items': number, 'minItems': 1}
        block = {'type': 'object', 'properties': {'choices': choices}, 'required': ['choices']}
        return {'anyOf': [number, pair, {**block, 'additionalProperties': False}]}

    def __str__(self) -> str:
        """The form in which an option file has it."""
        numbers = ', '.join(f'{value:g}' for value in self.values)
        if self.is_range:
            return f'[{numbers}]'
        return numbers if len(self.values) == 1 else f'{{choices: [{numbers}]}}'

    def draw(self, rng: np.random.Generator) -> float:
        """A level; with equal ends or one choice nothing is random."""
        if self.is_range:
            low, high = self.values
            return float(rng.uniform(low, high))
        return float(self.values[rng.integers(len(self.values))])

    def draw_int(self, rng: np.random.Generator) -> int:
        """An integer level; both ends of a range are included."""
        if self.is_range:
            return int(rng.integers(round(self.values[0]), round(self.values[1]), endpoint=True))
        return round(self.draw(rng))
