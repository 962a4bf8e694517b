"""What no schema says about the manifests: that their parts fit together, and that they are as closed as the documents promise.

    manifests.py chart FILE CONFIG   judge what Helm rendered into FILE; its configuration file is written to CONFIG
    manifests.py values              every value of the chart stands in its README.md
    manifests.py compose             judge the compose files and the sample configurations they mount

Exit 1 with findings. Needs PyYAML, and Python 3.11 for TOML.
"""

import re
import sys
import tomllib
from pathlib import Path

import yaml

ROOT = Path(__file__).resolve().parents[2]
CHART = ROOT / "deploy/helm/ticketwire"
COMPOSE = ROOT / "deploy/compose"
OURS = {"ticketwire", "receiver", "worker"}


def fits(selector, labels):
    return all(labels.get(key) == value for key, value in selector.items())


def pods(manifests):
    return [each["spec"]["template"] | {"of": each} for each in manifests if each["kind"] in ("Deployment", "StatefulSet")]


def chart(file, config):
    manifests = [each for each in yaml.safe_load_all(Path(file).read_text()) if each]
    kinds = {}
    for each in manifests:
        kinds.setdefault(each["kind"], []).append(each)
    templates = pods(manifests)
    if not templates:
        yield "no pod is made"
    for template in templates:
        yield from pod(template, kinds)
    for service in kinds.get("Service", []):
        name, chosen = service["metadata"]["name"], [each for each in templates if fits(service["spec"]["selector"], each["metadata"]["labels"])]
        if not chosen:
            yield f"Service {name} selects no pod"
        for port in service["spec"]["ports"]:
            for each in chosen:
                if port["targetPort"] not in [own["name"] for own in each["spec"]["containers"][0]["ports"]]:
                    yield f"Service {name}: a pod of it has no port {port['targetPort']}"
    for budget in kinds.get("PodDisruptionBudget", []):
        if sum(fits(budget["spec"]["selector"]["matchLabels"], each["metadata"]["labels"]) for each in templates) != 1:
            yield f"PodDisruptionBudget {budget['metadata']['name']} is not for exactly one component"
    for policy in kinds.get("NetworkPolicy", []):
        if not all(fits(policy["spec"]["podSelector"]["matchLabels"], each["metadata"]["labels"]) for each in templates):
            yield "NetworkPolicy leaves a pod out"
        if any(port["port"] == "admin" and "from" not in rule for rule in policy["spec"]["ingress"] for port in rule["ports"]):
            yield "NetworkPolicy opens the admin listener to everybody"
    for ingress in kinds.get("Ingress", []):
        for rule in ingress["spec"]["rules"]:
            for path in rule["http"]["paths"]:
                if path["backend"]["service"]["port"] != {"name": "http"} or path["backend"]["service"]["name"].endswith("-admin"):
                    yield "Ingress leads to something else than the receiver"
    for scaler in kinds.get("HorizontalPodAutoscaler", []):
        target = scaler["spec"]["scaleTargetRef"]
        owner = [each for each in manifests if each["kind"] == target["kind"] and each["metadata"]["name"] == target["name"]]
        if not owner or "replicas" in owner[0]["spec"]:
            yield "HorizontalPodAutoscaler scales nothing, or what has a fixed number"
    for monitor in kinds.get("ServiceMonitor", []):
        chosen = [each for each in kinds["Service"] if fits(monitor["spec"]["selector"]["matchLabels"], each["metadata"]["labels"])]
        if [each["spec"]["ports"][0]["name"] for each in chosen] != ["admin"]:
            yield "ServiceMonitor does not select the admin Service alone"
    for account in kinds.get("ServiceAccount", []):
        if account.get("automountServiceAccountToken") is not False:
            yield "ServiceAccount gives a token away"
    if "Secret" in kinds:
        yield "the chart makes a Secret"
    text = kinds["ConfigMap"][0]["data"]["ticketwire.toml"]
    tomllib.loads(text)
    Path(config).write_text(text)


def pod(template, kinds):
    owner, spec = template["of"], template["spec"]
    place = f"{owner['kind']} {owner['metadata']['name']}"
    container = spec["containers"][0]
    if not fits(owner["spec"]["selector"]["matchLabels"], template["metadata"]["labels"]):
        yield f"{place}: its selector does not match its pods"
    if owner["kind"] == "StatefulSet" and owner["spec"]["serviceName"] not in [each["metadata"]["name"] for each in kinds["Service"]]:
        yield f"{place}: its serviceName is no Service"
    whole, own = spec["securityContext"], container["securityContext"]
    closed = (
        whole["runAsNonRoot"] is True
        and whole["seccompProfile"]["type"] == "RuntimeDefault"
        and own["readOnlyRootFilesystem"] is True
        and own["allowPrivilegeEscalation"] is False
        and own["capabilities"]["drop"] == ["ALL"]
        and spec["automountServiceAccountToken"] is False
    )
    if not closed:
        yield f"{place}: it is less closed than docs/deploy.md says"
    probes = {name: container.get(name, {}).get("httpGet", {}).get("path") for name in ("startupProbe", "livenessProbe", "readinessProbe")}
    if probes != {"startupProbe": "/healthz", "livenessProbe": "/healthz", "readinessProbe": "/readyz"}:
        yield f"{place}: its probes are {probes}"
    volumes = {each["name"] for each in spec.get("volumes", [])} | {each["metadata"]["name"] for each in owner["spec"].get("volumeClaimTemplates", [])}
    mounted = {each["name"] for each in container["volumeMounts"]}
    if volumes != mounted:
        yield f"{place}: volumes {sorted(volumes ^ mounted)} are declared or mounted, but not both"
    if "resources" not in container or "memory" not in container["resources"].get("limits", {}):
        yield f"{place}: it has no limit of memory"


def leaves(values, path=()):
    for key, value in values.items():
        if isinstance(value, dict) and value and path + (key,) not in [("config",), ("podSecurityContext",), ("securityContext",)] and key != "resources":
            yield from leaves(value, path + (key,))
        else:
            yield path + (key,)


def values():
    """A value stands there whole, or shortened to its last part behind a sister or its group."""
    readme = (CHART / "README.md").read_text()
    rows = [line for line in readme.splitlines() if line.startswith("| `")]
    for path in leaves(yaml.safe_load((CHART / "values.yaml").read_text())):
        whole, last = ".".join(path), path[-1]
        near = any(f"`{whole}`" in row or (f"`.{last}`" in row and f"`{path[0]}" in row) for row in rows)
        if not near:
            yield f"README.md of the chart says nothing of `{whole}`"


def compose():
    files = sorted(COMPOSE.glob("*.yaml"))
    projects = [(file, content) for file in files if "services" in (content := yaml.safe_load(file.read_text()))]
    if len(projects) != 3:
        yield f"{len(projects)} compose files instead of 3"
    mounted = set()
    for file, content in projects:
        for name, service in content["services"].items():
            place = f"{file.name}: {name}"
            image = service.get("image", "")
            if not re.fullmatch(r"[^:]+:(\$\{\w+:-)?v?\d+\.\d+(\.\d+)?\}?", image):
                yield f"{place}: the image `{image}` is not pinned"
            if "healthcheck" not in service:
                yield f"{place}: it has no health check"
            if "no-new-privileges:true" not in service.get("security_opt", []):
                yield f"{place}: it may gain privileges"
            for mount in service.get("volumes", []):
                source = mount.split(":")[0]
                if source.startswith(".") and not (COMPOSE / source).is_file():
                    yield f"{place}: `{source}` is not there"
                if not source.startswith((".", "/")) and source not in content["volumes"]:
                    yield f"{place}: the volume `{source}` is not declared"
            given = set(service.get("secrets", []))
            if given - set(content.get("secrets", {})):
                yield f"{place}: the secrets {given - set(content['secrets'])} are not declared"
            for needed, how in service.get("depends_on", {}).items():
                if how["condition"] == "service_healthy" and "healthcheck" not in content["services"].get(needed, {}):
                    yield f"{place}: it waits for the health of `{needed}`, which has none"
            if set(service.get("networks", [])) - {"default", *content.get("networks", {})}:
                yield f"{place}: one of its networks is not declared"
            if name in OURS:
                yield from ours(place, service, given, mounted)
    for sample in sorted((ROOT / "deploy/config").glob("*.toml")):
        tomllib.loads(sample.read_text())
        if sample.name not in mounted:
            yield f"deploy/config/{sample.name}: no compose file mounts it"


def ours(place, service, given, mounted):
    if not (service.get("read_only") and service.get("cap_drop") == ["ALL"]):
        yield f"{place}: it is less closed than docs/deploy.md says"
    samples = [mount.split(":")[0] for mount in service["volumes"] if mount.endswith(":/etc/ticketwire/ticketwire.toml:ro")]
    if len(samples) != 1:
        yield f"{place}: it mounts {len(samples)} configurations"
        return
    mounted.add(Path(samples[0]).name)
    named = set(re.findall(r'"/run/secrets/([^"]+)"', (COMPOSE / samples[0]).read_text()))
    if named != given:
        yield f"{place}: secrets {sorted(named ^ given)} are named by the configuration or given to the service, but not both"


def main():
    what, arguments = sys.argv[1], sys.argv[2:]
    found = list({"chart": chart, "values": values, "compose": compose}[what](*arguments))
    for finding in found:
        print(finding)
    return 1 if found else 0


sys.exit(main())
