"""Arrays: the items between the brackets."""

from __future__ import annotations

from collections.abc import Sequence

from redraft.grammar.language.expression import (
    EMPTY_TEXT,
    Expression,
    Language,
    concat,
    optional,
)
from redraft.grammar.language.repeat import repeated
from redraft.grammar.schema.conjunction import Conjunction, Values
from redraft.grammar.schema.sets import distinct_items
from redraft.grammar.schema.subschema import Subschema
from redraft.grammar.schema.syntax import Syntax


def array_items(conjunction: Conjunction, syntax: Syntax, values: Values) -> Expression:
    """Return all that may stand between the brackets of an array."""
    minimum, maximum = conjunction.counts("minItems", "maxItems")
    count = max(len(_first_items(here)[1]) for here in conjunction.subschemas)
    first = [_item(conjunction, at) for at in range(count)]
    rest = _item(conjunction, count)
    if not rest and count:
        # No items that the schema does not describe.
        if minimum > count:
            raise conjunction.error("more items than prefixItems describes: give items", "minItems")
        maximum = count if maximum is None else min(count, maximum)
    rest = rest or [conjunction.main.anything()]
    if maximum is not None:
        first = first[:maximum]
    is_set = any(here.value("uniqueItems", bool, False) for here in conjunction.subschemas)
    if is_set and (maximum is None or maximum > 1):
        return distinct_items(conjunction, syntax, values, first, rest, minimum, maximum)
    own = [values.value(item) for item in first]
    behind = None if maximum is None else maximum - len(own)
    items: Expression = EMPTY_TEXT
    if behind != 0:
        items = _repeated(
            conjunction.main, syntax, values.value(rest), max(minimum - len(own), 0), behind, own
        )
    # Built from the last item to the first: an optional item stands with all that follow it, or
    # none of them does.
    for number in reversed(range(len(own))):
        item = concat(syntax.comma, own[number]) if number else own[number]
        items = concat(item, items) if number < minimum else optional(concat(item, items))
    return items


def _repeated(
    main: Subschema,
    syntax: Syntax,
    item: Expression,
    minimum: int,
    maximum: int | None,
    before: Sequence[Expression],
) -> Expression:
    """Return items of one kind; where there are items before them, with commas in front."""
    more = main.dfa(concat(syntax.comma, item))
    if before:
        return Language(repeated(more, minimum, maximum))
    limit = None if maximum is None else maximum - 1
    several = concat(item, Language(repeated(more, max(minimum - 1, 0), limit)))
    return several if minimum else optional(several)


def _first_items(here: Subschema) -> tuple[str, list[object]]:
    """Return the keyword that describes items one by one, and its list.

    Before draft 2020-12 it was `items`, with a list as its value.
    """
    if isinstance(here.schema.get("items"), list) and "prefixItems" not in here:
        return "items", here.value("items", list, [])
    return "prefixItems", here.value("prefixItems", list, [])


def _own_item(here: Subschema, at: int) -> Subschema | None:
    """Return the subschema of the item at an index, None where the keywords describe none."""
    keyword, first = _first_items(here)
    if at < len(first):
        return here.inside(keyword, at)
    rest = "additionalItems" if isinstance(here.schema.get("items"), list) else "items"
    return here.inside(rest) if rest in here else None


def _item(conjunction: Conjunction, at: int) -> list[Subschema]:
    """Return the subschemas of the item at an index, none where no keyword describes it."""
    found = []
    for here in conjunction.subschemas:
        own = _own_item(here, at)
        if own is not None:
            found.append(own)
        if "unevaluatedItems" in here and not any(
            _own_item(other, at) is not None or ("unevaluatedItems" in other and other is not here)
            for other in conjunction.in_scope(here.path)
        ):
            found.append(here.inside("unevaluatedItems"))
    return found
