"""Every metric that the alert rules and the dashboard use stands in schemas/metrics.md, with the labels it is asked for.

    metrics.py names                 judge, exit 1 with findings
    metrics.py dashboard-rules       the dashboard's expressions as recording rules on stdout, for promtool to parse

Reads expressions as text, which promtool has parsed or will parse. Needs PyYAML.
"""

import json
import re
import sys
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
DASHBOARD = ROOT / "deploy/grafana/ticketwire.json"
RULES = ROOT / "deploy/prometheus/rules.yaml"
# Put on every series by the scrape, or by the kind of metric.
SCRAPED = {"job", "instance", "namespace", "pod", "le"}
# Made by Prometheus itself.
FOREIGN = {"up"}
VARIABLES = {"$__rate_interval": "5m", "$__range": "1h", "$__interval": "1m"}


def catalogue():
    """Metric to its labels, and closed values of a label of a metric."""
    text = (ROOT / "schemas/metrics.md").read_text()
    labels, closed = {}, {}
    for name, kind, _, named, _ in re.findall(r"^\| `(\w+)` \|([^|]*)\|([^|]*)\|([^|]*)\|(.*)\|$", text, re.M):
        own = set(re.findall(r"`(\w+)`", named))
        names = [name + part for part in ("_bucket", "_sum", "_count")] if kind.strip() == "histogram" else [name]
        labels.update({each: own for each in names})
    for label, name, values in re.findall(r"^- `(\w+)` of `(\w+)`: (.*)$", text, re.M):
        closed[name, label] = set(re.findall(r"`(\w+)`", values))
    return labels, closed


def expressions():
    for group in yaml.safe_load(RULES.read_text())["groups"]:
        for rule in group["rules"]:
            yield rule["alert"], rule["expr"]
    board = json.loads(DASHBOARD.read_text())
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            yield f"panel `{panel['title']}`", target["expr"]
    for note in board["annotations"]["list"]:
        yield f"annotation `{note['name']}`", note["expr"]
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            metric, label = re.fullmatch(r"label_values\((.*), (\w+)\)", variable["definition"]).groups()
            yield f"variable `{variable['name']}`", f"sum by ({label}) ({metric})"


def findings():
    labels, closed = catalogue()
    if len(labels) < 20:
        yield f"schemas/metrics.md: only {len(labels)} metrics could be read"
    for place, expr in expressions():
        metrics = [name for name in re.findall(r"\b(?:ticketwire|process)_\w+|\bup\b", expr)]
        if not metrics:
            yield f"{place}: asks for no metric"
        for name in metrics:
            if name not in labels and name not in FOREIGN:
                yield f"{place}: `{name}` is no metric of schemas/metrics.md"
        for name, matchers in re.findall(r"\b(\w+)\{([^}]*)\}", expr):
            for label, _, value in re.findall(r'(\w+)\s*(=~|!~|!=|=)\s*"([^"]*)"', matchers):
                if label not in labels.get(name, set()) | SCRAPED:
                    yield f"{place}: `{name}` has no label `{label}`"
                known = closed.get((name, label))
                if known and not value.startswith("$") and value not in known:
                    yield f"{place}: `{label}` of `{name}` is never `{value}`"
        known = set().union(SCRAPED, *(labels.get(name, set()) for name in metrics))
        for names in re.findall(r"\b(?:by|on|ignoring|without)\s*\(([^)]*)\)", expr):
            for label in filter(None, (part.strip() for part in names.split(","))):
                if label not in known:
                    yield f"{place}: nothing in it has the label `{label}`"


def dashboard_rules():
    board = json.loads(DASHBOARD.read_text())
    rules = []
    for panel in board["panels"]:
        for target in panel.get("targets", []):
            rules.append(target["expr"])
    rules += [note["expr"] for note in board["annotations"]["list"]]
    for index, expr in enumerate(rules):
        for variable, value in VARIABLES.items():
            expr = expr.replace(variable, value)
        rules[index] = {"record": f"dashboard:{index}", "expr": expr}
    yaml.safe_dump({"groups": [{"name": "dashboard", "rules": rules}]}, sys.stdout)


def structure():
    board = json.loads(DASHBOARD.read_text())
    for member in ("uid", "title", "schemaVersion", "panels", "templating", "time"):
        if member not in board:
            yield f"the dashboard has no `{member}`"
    ids = [panel["id"] for panel in board["panels"]]
    if len(ids) != len(set(ids)):
        yield "two panels have the same id"
    known = {f"${{{variable['name']}}}" for variable in board["templating"]["list"]} | {f"${variable['name']}" for variable in board["templating"]["list"]}
    taken = set()
    for panel in board["panels"]:
        place = panel["gridPos"]
        if place["x"] + place["w"] > 24:
            yield f"panel `{panel['title']}` is wider than the grid"
        cells = {(x, y) for x in range(place["x"], place["x"] + place["w"]) for y in range(place["y"], place["y"] + place["h"])}
        if taken & cells:
            yield f"panel `{panel['title']}` lies over another"
        taken |= cells
        for name in set(re.findall(r"\$\{?\w+\}?", json.dumps(panel))) - set(VARIABLES):
            if name not in known:
                yield f"panel `{panel['title']}` uses the variable `{name}`, which is not declared"


def main():
    if sys.argv[1:] == ["dashboard-rules"]:
        dashboard_rules()
        return 0
    found = [*structure(), *findings()]
    for finding in found:
        print(finding)
    return 1 if found else 0


sys.exit(main())
