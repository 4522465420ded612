"""The formats that a command may be asked for."""

from __future__ import annotations

from enum import Enum


class TableFormat(str, Enum):
    """What the commands that show tables write."""

    terminal = "terminal"
    md = "md"
    csv = "csv"
    json = "json"
    latex = "latex"


class TextFormat(str, Enum):
    """What the commands that tell of one or two rows write."""

    terminal = "terminal"
    md = "md"
    json = "json"


class CheckFormat(str, Enum):
    """What `bench check` writes; github is annotations, md a pull request's comment."""

    terminal = "terminal"
    json = "json"
    junit = "junit"
    github = "github"
    md = "md"
