"""What docs/ says of the command line, of settings, rights and messages is what the program has."""

from __future__ import annotations

import argparse
import ast
import json
import re
from pathlib import Path

import yaml
from pydantic.alias_generators import to_camel

from extsync.cli.main import build_parser
from extsync.config.settings import PREFIX, Settings

ROOT = Path(__file__).parents[2]
COMMANDS = (ROOT / "docs" / "commands.md").read_text()
MESSAGES = (ROOT / "docs" / "messages.md").read_text()
SECURITY = (ROOT / "docs" / "security.md").read_text()
SETTINGS = (ROOT / "docs" / "settings.md").read_text()
TROUBLESHOOTING = (ROOT / "docs" / "troubleshooting.md").read_text()
README = (ROOT / "README.md").read_text()


def rows(page: str, first_header: str) -> list[list[str]]:
    """The cells of the rows of the table whose first column has that header."""
    lines = iter(page.splitlines())
    next(line for line in lines if line.startswith(f"| {first_header} |"))
    next(lines)
    found = []
    for line in lines:
        if not line.startswith("|"):
            break
        found.append([cell.strip() for cell in line.split("|")[1:-1]])
    return found


def subparsers() -> dict[str, argparse.ArgumentParser]:
    [action] = [a for a in build_parser()._actions if isinstance(a, argparse._SubParsersAction)]
    return dict(action.choices)


def test_every_flag_of_every_command_is_there_and_no_other() -> None:
    parsers = {"": build_parser(), **subparsers()}
    wanted = {
        (flag, command)
        for command, parser in parsers.items()
        for action in parser._actions
        for flag in action.option_strings
        if flag not in ("-h", "--help")
    }
    told = {
        (flag, command)
        for flags, commands, _ in rows(COMMANDS, "flag")
        for flag in re.findall(r"`(-[^`]+)`", flags)
        for command in commands.split() or [""]
    }
    assert told == wanted


def test_every_command_is_in_the_table_and_the_readme_shows_it() -> None:
    assert {re.findall(r"extsync (\w+)", row[0])[0] for row in rows(COMMANDS, "command")} == set(subparsers())
    assert set(subparsers()) <= set(re.findall(r"\bextsync (\w+)", README))


def test_every_choice_of_a_flag_is_there() -> None:
    told = {flags: meaning for flags, _, meaning in rows(COMMANDS, "flag")}
    for parser in subparsers().values():
        for action in parser._actions:
            if action.choices is not None:
                [meaning] = [told[flags] for flags in told if f"`{action.option_strings[-1]}`" in flags]
                assert [choice for choice in action.choices if f"`{choice}`" not in meaning] == []


def test_every_setting_is_there_with_its_variable_and_default() -> None:
    told = {tuple(cells[:3]) for cells in rows(SETTINGS, "key")}
    assert told == {
        (f"`{to_camel(name)}`", f"`{PREFIX}{name.upper()}`", f"`{written(field.default)}`")
        for name, field in Settings.model_fields.items()
    }


def written(default: object) -> str:
    if default == ():
        return "[]"
    if type(default) is bool or default == "":
        return json.dumps(default)
    return f"{default:g}" if type(default) is float else str(default)


def test_the_rights_are_those_of_the_cluster_role() -> None:
    told: dict[str, set[str]] = {}
    for _, resources, verbs, _ in rows(SECURITY, "API group"):
        for resource in re.findall(r"`([^`]+)`", resources):
            told.setdefault(resource, set()).update(verbs.split(", "))
    role = yaml.safe_load((ROOT / "deploy" / "kustomize" / "base" / "clusterrole.yaml").read_text())
    granted: dict[str, set[str]] = {}
    for rule in role["rules"]:
        for resource in rule["resources"]:
            granted.setdefault(resource, set()).update(rule["verbs"])
    assert {name: verbs for name, verbs in told.items() if "restricted" not in name} == granted


def test_the_rights_to_leases_are_those_of_the_role() -> None:
    [told] = rows(SECURITY, "API group of the Role")
    role = yaml.safe_load((ROOT / "deploy" / "kustomize" / "base" / "role.yaml").read_text())
    assert role["rules"] == [
        {"apiGroups": [told[0]], "resources": [told[1].strip("`")], "verbs": told[2].split(", ")},
    ]


def test_every_message_is_one_that_the_program_says() -> None:
    source = "".join(path.read_text() for path in sorted((ROOT / "extsync").rglob("*.py")))
    source = re.sub(r'"\s*\n\s*f?"', "", source)  # texts that are spread over lines
    for message, *_ in rows(MESSAGES, "message"):
        for part in re.split(r"<[^>]*>", message.strip("`")):
            assert part.strip() in source, message


def test_links_lead_somewhere() -> None:
    for page in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")), ROOT / "deploy" / "README.md"):
        for target in re.findall(r"\]\(([^)#]+)[^)]*\)", page.read_text()):
            assert target.startswith("https://") or (page.parent / target).exists(), f"{page.name}: {target}"


def test_files_that_the_design_names_are_there() -> None:
    text = (ROOT / "docs" / "design.md").read_text() + (ROOT / "docs" / "architecture.md").read_text()
    for name in re.findall(r"`((?:\w+/)*\w+\.py)`", text):
        assert (ROOT / "extsync" / name).exists(), name
    for name in re.findall(r"\btests/[\w/]+(?:\.py)?", text):
        assert (ROOT / name).exists(), name


def test_every_part_of_the_package_has_its_room_in_the_architecture() -> None:
    rooms = " ".join(room for room, *_ in rows((ROOT / "docs" / "architecture.md").read_text(), "room"))
    found = sorted(
        path for path in (ROOT / "extsync").iterdir() if not path.name.startswith("_") and path.suffix != ".typed"
    )
    assert [path.stem for path in found if f"`{path.stem}{'/' if path.is_dir() else ''}`" not in rooms] == []


def test_every_finding_of_doctor_is_in_the_troubleshooting_table_with_its_severity() -> None:
    told = {
        name.strip("`"): set(severity.split(" or "))
        for name, severity, *_ in rows(TROUBLESHOOTING, "finding")
        if name.startswith("`")
    }
    made: dict[str, set[str]] = {}
    for path in sorted((ROOT / "extsync" / "doctor").rglob("*.py")):
        for call in ast.walk(ast.parse(path.read_text())):
            match call:
                case ast.Call(func=ast.Attribute(attr=verb), args=[ast.Constant(value=str(code)), *_]):
                    severity = verb
                case ast.Call(func=ast.Name(id="make"), args=[ast.Constant(value=str(code)), *_]):
                    severity = "make"
                case _:
                    continue
            if severity in ("error", "warning", "info", "make"):
                made.setdefault(code, set()).update(("error", "warning") if severity == "make" else (severity,))
    assert told == made
