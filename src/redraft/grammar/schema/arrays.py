"""Arrays: the items between the brackets."""

from __future__ import annotations

from collections.abc import Callable

from redraft.grammar.language.expression import (
    EMPTY_TEXT,
    Expression,
    Language,
    Repeat,
    concat,
    optional,
)
from redraft.grammar.schema.subschema import Subschema
from redraft.grammar.schema.syntax import Syntax


def array_items(
    subschema: Subschema, syntax: Syntax, value: Callable[[Subschema], Expression]
) -> Expression:
    """Return all that may stand between the brackets of an array.

    Args:
        value: the values of a subschema of the items.
    """
    minimum, maximum = subschema.count("minItems") or 0, subschema.count("maxItems")
    if subschema.value("uniqueItems", bool, False) and (maximum is None or maximum > 1):
        raise subschema.error("uniqueItems is not supported for more than one item", "uniqueItems")
    if maximum is not None and maximum < minimum:
        raise subschema.unsatisfied(f"minItems {minimum} is more than maxItems {maximum}")
    count = len(subschema.value("prefixItems", list, []))
    own = [
        value(subschema.inside("prefixItems", number))
        for number in range(count if maximum is None else min(count, maximum))
    ]
    rest = None if maximum is None else max(maximum - count, 0)
    items = _more_items(subschema, syntax, value, max(minimum - count, 0), rest, bool(own))
    # Built from the last item to the first: an optional item stands with all that follow it, or
    # none of them does.
    for number in reversed(range(len(own))):
        item = concat(syntax.comma, own[number]) if number else own[number]
        items = concat(item, items) if number < minimum else optional(concat(item, items))
    return items


def _more_items(
    subschema: Subschema,
    syntax: Syntax,
    value: Callable[[Subschema], Expression],
    minimum: int,
    maximum: int | None,
    behind: bool,
) -> Expression:
    """Return the items that `items` describes: those behind prefixItems, or all."""
    if maximum == 0:
        return EMPTY_TEXT
    if "items" not in subschema and behind:
        # No items that the schema does not describe.
        if minimum:
            raise subschema.error("more items than prefixItems describes: give items", "minItems")
        return EMPTY_TEXT
    described = subschema.inside("items") if "items" in subschema else subschema.anything()
    item = Language(described.dfa(value(described)))
    if behind:
        return Repeat(concat(syntax.comma, item), minimum, maximum)
    more = Repeat(
        concat(syntax.comma, item),
        max(minimum - 1, 0),
        None if maximum is None else maximum - 1,
    )
    several = concat(item, more)
    return several if minimum else optional(several)
