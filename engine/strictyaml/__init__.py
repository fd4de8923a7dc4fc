"""YAML without surprises: what is written is what is meant, and every fault has line and column.

A subset of YAML 1.2, read from the parser's events with a stack of our own. ``1e-3`` is a number,
only ``true`` and ``false`` are booleans, there are no sexagesimal numbers and no dates. Duplicate
keys, tags, aliases, several documents, deep nesting and huge texts are refused. ``convert`` then
checks types through msgspec and names file, line, key, what was expected and what came.
"""

from agentd.engine.strictyaml.convert import Hook, convert, load
from agentd.engine.strictyaml.document import ConfigError, Document, Mark, describe, dotted, suggest
from agentd.engine.strictyaml.files import read_file
from agentd.engine.strictyaml.reading import parse
from agentd.engine.strictyaml.record import Count, Fraction, Number, Positive, Record

__all__ = [
    "ConfigError",
    "Count",
    "Document",
    "Fraction",
    "Hook",
    "Mark",
    "Number",
    "Positive",
    "Record",
    "convert",
    "describe",
    "dotted",
    "load",
    "parse",
    "read_file",
    "suggest",
]
