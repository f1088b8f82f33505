"""What the documentation names is there, and what users meet stands in it."""
import os
import re
import subprocess

import pytest
import yaml

from harness import paths

FILES = subprocess.run(["git", "ls-files"], cwd=paths.ROOT, capture_output=True, text=True, check=True).stdout.splitlines()
FOLDERS = {os.path.dirname(file) for file in FILES} | {file.split("/")[0] for file in FILES if "/" in file}
PAGES = sorted(file for file in FILES if file.endswith(".md"))


def text_of(file):
    return (paths.ROOT / file).read_text()


def sources(*folders, suffix=".c"):
    return "\n".join(text_of(file) for file in FILES if file.startswith(folders) and file.endswith(suffix))


def prose_of(page):
    """Without the blocks of code."""
    return re.sub(r"^```.*?^```", "", text_of(page), flags=re.M | re.S)


def anchors_of(page):
    """As Git servers make them of headings."""
    headings = re.findall(r"^#+ (.*)$", prose_of(page), re.M)
    plain = [re.sub(r"\[([^]]*)\]\([^)]*\)", r"\1", heading).replace("`", "") for heading in headings]
    return {re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-") for heading in plain}


@pytest.mark.parametrize("page", PAGES)
def test_links_lead_somewhere(page):
    broken = []
    for link in re.findall(r"\]\(([^)\s]+)\)", text_of(page)):
        if re.match(r"https?:", link):
            continue
        path, _, anchor = link.partition("#")
        target = os.path.normpath(os.path.join(os.path.dirname(page), path)) if path else page
        if target not in FILES and target not in FOLDERS:
            broken.append(link)
        elif anchor and target.endswith(".md") and anchor not in anchors_of(target):
            broken.append(link)
    assert not broken


@pytest.mark.parametrize("page", PAGES)
def test_paths_in_prose_are_there(page):
    """`differ/drift.c`, `charts/gitmoor`, `common/run/members`: files, folders, and files without their suffix."""
    tops = {folder for folder in FOLDERS if "/" not in folder}
    missing = []
    for code in re.findall(r"`([^`\n]+)`", prose_of(page)):
        for path in re.findall(r"(?<![\w/.])[\w.-]+(?:/[\w.-]+)+", code):
            known = path in FILES or path in FOLDERS or any(f"{path}{suffix}" in FILES for suffix in (".c", ".h"))
            if path.split("/")[0] in tops and not known and not re.search("[A-Z]{3,}", path):  # NAME stands for any
                missing.append(path)
    assert not missing


@pytest.mark.parametrize("page", PAGES)
def test_metrics_are_those_of_the_programs(page):
    code = sources("common/", "fetcher/", "differ/", "applier/", "admission/")
    named = set(re.findall(r"\bgitmoor_[a-z_]+[a-z]\b", text_of(page)))
    unknown = {name for name in named if not re.search(rf'"{re.sub("_(bucket|sum|count)$", "", name)}"', code)}
    assert not unknown


def test_the_architecture_names_every_folder_and_decision():
    text = text_of("ARCHITECTURE.md")
    folders = {folder for folder in FOLDERS if folder.count("/") == 1 and folder.startswith("common/")}
    folders |= {folder for folder in FOLDERS if folder and "/" not in folder and not folder.startswith(".")} - {"common", "tests", "charts"}
    assert not {folder for folder in folders if f"`{folder}`" not in text}
    decisions = {file for file in FILES if file.startswith("docs/adr/")}
    assert len(decisions) > 15 and not {file for file in decisions if f"]({file})" not in text}


def reasons(pattern, file):
    found = set(re.findall(pattern, text_of(file)))
    assert len(found) > 5
    return found


def table_words(page, heading):
    """The words in code in the first column of the tables of a section."""
    section = re.search(rf"^## {heading}$(.*?)(?=^## |\Z)", text_of(page), re.M | re.S).group(1)
    cells = [line.split("|")[1] for line in section.splitlines() if line.startswith("|")]
    return {word for cell in cells for word in re.findall(r"`([^`]+)`", cell)}


def test_reasons_of_sources_stand_in_the_table_with_what_to_do():
    told = reasons(r'\[FETCH_\w+\] = "(\w+)"', "fetcher/reason.c") - {"Succeeded"}
    assert told <= table_words("docs/applications.md", "GitRepository")


def test_reasons_of_applications_stand_in_the_table_with_what_to_do():
    told = reasons(r'\{"(?:True|False|Unknown)", "(\w+)"', "differ/conditions.c")
    assert told <= table_words("docs/applications.md", "Status")


def test_events_stand_in_their_table_and_no_others():
    code = sources("differ/", "fetcher/")
    calls = re.findall(r"(?:status_event|kube_event_record)\((.*?)\);", code, re.S)
    words = {word for call in calls for word in re.findall(r'"([A-Z][a-zA-Z]+)"', call)}
    actions = {re.findall(r'"([A-Z][a-zA-Z]+)"', call)[-1] for call in calls if '"' in call}
    told = words - actions - {"Normal", "Warning"} | {"BreakGlass", "Fight", "FightEnded", "ForcedPush", "ChartReplaced"}
    told |= set(re.findall(r'\[OUTCOME_\w+\] = "(\w+)"', text_of("differ/outcome.c"))) | {"NotAllowed", "RepositoryNotReady", "RenderFailed"}
    assert len(told) > 25
    assert table_words("docs/notifications.md", "Events") - {"Ready"} == told


def block(page, name):
    return re.search(rf"^```yaml {re.escape(name)}\n(.*?)^```", text_of(page), re.M | re.S).group(1)


def test_the_example_for_alertmanager_routes_alerts_that_there_are():
    config = yaml.safe_load(block("docs/notifications.md", "alertmanager.yml"))
    alerts = yaml.safe_load(text_of("charts/gitmoor/files/alerts.yaml"))
    names = {receiver["name"] for receiver in config["receivers"]}
    routes = [config["route"], *config["route"]["routes"]]
    assert {route["receiver"] for route in routes} == names
    for route in routes[1:]:
        matchers = [re.fullmatch(r'(\w+)(=~?)"(.*)"', matcher).groups() for matcher in route["matchers"]]
        assert dict((label, value) for label, _, value in matchers)["alertname"] == "Gitmoor.*"
        for label, _, value in matchers:
            if label == "severity":
                assert value in {alert["labels"]["severity"] for alert in alerts}
            elif label == "application":
                assert any("{{ $labels.application }}" in alert["annotations"]["summary"] for alert in alerts)
    assert all(alert["alert"].startswith("Gitmoor") and alert["annotations"]["description"] for alert in alerts)


def test_the_example_for_events_names_events_and_kinds_that_there_are():
    config = yaml.safe_load(block("docs/notifications.md", "event-exporter.yaml"))
    receivers = {receiver["name"] for receiver in config["receivers"]}
    for route in config["route"]["routes"]:
        for rule in route["match"]:
            assert rule["receiver"] in receivers and re.fullmatch(rule["apiVersion"], "gitmoor.io/v1alpha1")
            assert rule.get("reason", "Applied") in table_words("docs/notifications.md", "Events")
            assert rule.get("kind", "Application") == "Application" and rule.get("type", "Warning") == "Warning"
