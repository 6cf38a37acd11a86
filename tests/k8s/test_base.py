"""The Kubernetes base and the container image: valid, consistent, and confined.

The schema check is strict but reports one error at a time and knows no relation between
two manifests, so whatever must agree is asserted here.
"""

from __future__ import annotations

import copy
import json
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from ipaddress import ip_address
from pathlib import Path, PurePosixPath
from typing import Any

import kubernetes_validate
import orjson
import pytest
import yaml

from gateway_extproc.config.model import Config

ROOT = Path(__file__).parents[2]
BASE = ROOT / "k8s" / "base"
KUBERNETES = "1.37"

Manifest = dict[str, Any]


def read(name: str) -> Manifest:
    document = yaml.safe_load((BASE / name).read_text())
    assert isinstance(document, dict)
    return document


KUSTOMIZATION = read("kustomization.yaml")
MANIFESTS = {name: read(name) for name in KUSTOMIZATION["resources"]}
DEPLOYMENT = MANIFESTS["deployment.yaml"]
POD = DEPLOYMENT["spec"]["template"]["spec"]
(GATEWAY,) = POD["initContainers"]
(ENVOY,) = POD["containers"]
CONTAINERS = {"gateway": GATEWAY, "envoy": ENVOY}
VOLUMES = {volume["name"]: volume for volume in POD["volumes"]}
CONFIG = Config.model_validate_json(orjson.dumps(read("gateway.yaml")))


def refuse_or_pass(manifest: Manifest) -> None:
    """Raises ``ValidationError`` for what the API server would refuse."""
    kubernetes_validate.validate(manifest, KUBERNETES, strict=True)


def mounts(container: Manifest) -> dict[str, Manifest]:
    """Mount path to mount."""
    return {mount["mountPath"]: mount for mount in container["volumeMounts"]}


def mount_of(container: Manifest, path: str) -> Manifest:
    """The mount under which a path of the container lies."""
    parents = [str(parent) for parent in (PurePosixPath(path), *PurePosixPath(path).parents)]
    found = [mount for at, mount in mounts(container).items() if at in parents]
    assert found, f"{path} is on no volume of {container['name']}"
    return max(found, key=lambda mount: len(mount["mountPath"]))


def file_of(container: Manifest, path: str) -> tuple[str, str]:
    """The volume and the key that a mounted secret or ConfigMap serves a file from."""
    mount = mount_of(container, path)
    volume = VOLUMES[mount["name"]]
    source = volume.get("secret") or volume["configMap"]
    relative = str(PurePosixPath(path).relative_to(mount["mountPath"]))
    keys = {item["path"]: item["key"] for item in source["items"]}
    assert relative in keys, f"{path} is not among the files of volume {volume['name']}"
    return volume["name"], keys[relative]


def port_of(container: Manifest, port: int | str) -> int:
    numbers = {entry["name"]: entry["containerPort"] for entry in container["ports"]}
    number = numbers[port] if isinstance(port, str) else port
    assert isinstance(number, int)
    return number


# --- the manifests themselves


@pytest.mark.parametrize("name", MANIFESTS)
def test_a_manifest_is_valid(name: str) -> None:
    refuse_or_pass(MANIFESTS[name])


@pytest.mark.parametrize(
    "path",
    [
        ("spec",),
        ("spec", "template", "spec"),
        ("spec", "template", "spec", "containers", 0),
        ("spec", "template", "spec", "initContainers", 0, "securityContext"),
    ],
    ids=str,
)
def test_an_unknown_field_is_refused(path: tuple[str | int, ...]) -> None:
    broken = copy.deepcopy(DEPLOYMENT)
    place: Any = broken
    for part in path:
        place = place[part]
    place["unknownField"] = 1
    with pytest.raises(kubernetes_validate.ValidationError):
        refuse_or_pass(broken)


def test_every_file_of_the_kustomization_exists() -> None:
    named = [*KUSTOMIZATION["resources"]]
    for generator in KUSTOMIZATION["configMapGenerator"]:
        named += generator["files"]
    missing = [name for name in named if not (BASE / name).is_file()]
    assert missing == []


def test_every_file_of_the_folder_is_in_the_kustomization() -> None:
    named = {"kustomization.yaml", *KUSTOMIZATION["resources"]}
    for generator in KUSTOMIZATION["configMapGenerator"]:
        named.update(generator["files"])
    assert {path.name for path in BASE.glob("*.yaml")} <= named


def test_the_mounted_config_map_is_the_generated_one() -> None:
    generated = {g["name"]: set(g["files"]) for g in KUSTOMIZATION["configMapGenerator"]}
    for volume in VOLUMES.values():
        if source := volume.get("configMap"):
            assert {item["key"] for item in source["items"]} <= generated[source["name"]]


@pytest.mark.skipif(not shutil.which("kubectl"), reason="kubectl is not installed")
def test_kustomize_renders_valid_manifests() -> None:
    rendered = subprocess.run(
        ["kubectl", "kustomize", str(BASE)], capture_output=True, text=True, timeout=60
    )
    assert rendered.returncode == 0, rendered.stderr
    documents = {d["kind"]: d for d in yaml.safe_load_all(rendered.stdout)}
    for document in documents.values():
        refuse_or_pass(document)
    volumes = documents["Deployment"]["spec"]["template"]["spec"]["volumes"]
    names = {volume["configMap"]["name"] for volume in volumes if "configMap" in volume}
    # With the hash in its name, a changed configuration is a rollout.
    assert names == {documents["ConfigMap"]["metadata"]["name"]}
    assert names != {"gateway-config"}


# --- who selects whom


def test_selectors_match_the_labels_of_the_pods() -> None:
    labels = DEPLOYMENT["spec"]["template"]["metadata"]["labels"].items()
    spread = POD["topologySpreadConstraints"]
    selectors = [
        DEPLOYMENT["spec"]["selector"]["matchLabels"],
        MANIFESTS["service.yaml"]["spec"]["selector"],
        MANIFESTS["pdb.yaml"]["spec"]["selector"]["matchLabels"],
        *(constraint["labelSelector"]["matchLabels"] for constraint in spread),
    ]
    for selector in selectors:
        assert selector
        assert selector.items() <= labels


def test_the_autoscaler_and_the_disruption_budget_mean_the_same_deployment() -> None:
    target = MANIFESTS["hpa.yaml"]["spec"]["scaleTargetRef"]
    assert target == {
        "apiVersion": DEPLOYMENT["apiVersion"],
        "kind": DEPLOYMENT["kind"],
        "name": DEPLOYMENT["metadata"]["name"],
    }
    budget = MANIFESTS["pdb.yaml"]["spec"]
    assert budget["selector"] == DEPLOYMENT["spec"]["selector"]
    assert budget["maxUnavailable"] == 1


def test_the_autoscaler_alone_sets_the_number_of_pods() -> None:
    spec = MANIFESTS["hpa.yaml"]["spec"]
    assert "replicas" not in DEPLOYMENT["spec"]
    assert 2 <= spec["minReplicas"] < spec["maxReplicas"]


def test_the_autoscaler_measures_containers_that_request_cpu() -> None:
    metrics = [m["containerResource"] for m in MANIFESTS["hpa.yaml"]["spec"]["metrics"]]
    assert {metric["container"] for metric in metrics} == set(CONTAINERS)
    for metric in metrics:
        assert metric["name"] in CONTAINERS[metric["container"]]["resources"]["requests"]


def test_the_service_reaches_envoy_and_the_metrics() -> None:
    ports = {port["name"]: port for port in MANIFESTS["service.yaml"]["spec"]["ports"]}
    assert ports["http"]["port"] == 80
    assert port_of(ENVOY, ports["http"]["targetPort"]) == CONFIG.server.listen.port
    assert ports["metrics"]["port"] == CONFIG.server.admin.port
    assert port_of(GATEWAY, ports["metrics"]["targetPort"]) == CONFIG.server.admin.port


def test_the_pods_run_under_their_own_account_without_a_token() -> None:
    account = MANIFESTS["serviceaccount.yaml"]
    assert POD["serviceAccountName"] == account["metadata"]["name"]
    assert account["automountServiceAccountToken"] is False
    assert POD["automountServiceAccountToken"] is False


# --- the containers


def test_the_gateway_is_a_native_sidecar() -> None:
    # The schema has no enum here: a wrong word would make it a plain init container that
    # never ends, and Envoy would never start.
    assert GATEWAY["restartPolicy"] == "Always"
    assert GATEWAY["name"] == "gateway"
    assert ENVOY["name"] == "envoy"
    assert "restartPolicy" not in ENVOY


@pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)
def test_a_container_is_confined(container: Manifest) -> None:
    context = POD["securityContext"] | container["securityContext"]
    assert context["runAsNonRoot"] is True
    assert context["runAsUser"] == context["runAsGroup"] == context["fsGroup"] == 65532
    assert context["seccompProfile"] == {"type": "RuntimeDefault"}
    assert context["readOnlyRootFilesystem"] is True
    assert context["allowPrivilegeEscalation"] is False
    assert context["capabilities"] == {"drop": ["ALL"]}
    assert not context.get("privileged")


def test_the_pod_shares_nothing_with_its_node() -> None:
    assert not {"hostNetwork", "hostPID", "hostIPC"} & POD.keys()
    assert not [name for name, volume in VOLUMES.items() if "hostPath" in volume]


@pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)
def test_an_image_is_pinned(container: Manifest) -> None:
    tag = container["image"].partition(":")[2]
    assert tag
    assert "latest" not in tag


@pytest.mark.parametrize("container", CONTAINERS.values(), ids=CONTAINERS)
def test_resources_are_requested_and_memory_is_bounded(container: Manifest) -> None:
    assert {"cpu", "memory"} <= container["resources"]["requests"].keys()
    assert "memory" in container["resources"]["limits"]
    assert "cpu" not in container["resources"]["limits"]


def test_the_gateway_requests_a_core_for_each_worker() -> None:
    # The autoscaler's percentage is one of the request.
    assert GATEWAY["resources"]["requests"]["cpu"] == str(CONFIG.server.workers)


@pytest.mark.parametrize(
    ("probe", "path"),
    [("startupProbe", "/readyz"), ("readinessProbe", "/readyz"), ("livenessProbe", "/healthz")],
)
def test_the_gateway_is_probed_on_its_admin_port(probe: str, path: str) -> None:
    request = GATEWAY[probe]["httpGet"]
    assert request["path"] == path
    assert port_of(GATEWAY, request["port"]) == CONFIG.server.admin.port


def test_envoy_is_probed_on_the_port_of_the_clients() -> None:
    probe = ENVOY["readinessProbe"]["tcpSocket"]
    assert port_of(ENVOY, probe["port"]) == CONFIG.server.listen.port


def test_what_the_kubelet_probes_listens_beyond_loopback() -> None:
    assert ip_address(CONFIG.server.listen.address).is_unspecified
    assert ip_address(CONFIG.server.admin.address).is_unspecified


def test_envoys_admin_is_for_this_pod_alone() -> None:
    assert ip_address(CONFIG.server.envoy_admin.address).is_loopback
    exposed = {entry["containerPort"] for c in CONTAINERS.values() for entry in c["ports"]}
    assert CONFIG.server.envoy_admin.port not in exposed


# --- files


def test_both_containers_share_the_socket_folder() -> None:
    ours = mounts(GATEWAY)[CONFIG.server.socket_dir]
    theirs = mounts(ENVOY)[CONFIG.server.socket_dir]
    assert ours["name"] == theirs["name"]
    assert VOLUMES[ours["name"]]["emptyDir"]["medium"] == "Memory"
    assert not ours.get("readOnly")
    assert theirs["readOnly"] is True


def test_every_secret_that_the_configuration_names_is_mounted() -> None:
    paths = [CONFIG.identity.pepper_file, *(p.credential_file for p in CONFIG.providers)]
    volumes = {file_of(GATEWAY, path)[0] for path in paths}
    assert all("secret" in VOLUMES[name] for name in volumes)
    assert all(mount_of(GATEWAY, path)["readOnly"] for path in paths)


def test_the_secret_holds_nothing_that_the_configuration_does_not_name() -> None:
    paths = [CONFIG.identity.pepper_file, *(p.credential_file for p in CONFIG.providers)]
    used = {file_of(GATEWAY, path)[1] for path in paths}
    assert {item["key"] for item in VOLUMES["secrets"]["secret"]["items"]} == used
    # Whoever fills the Secret finds its keys in gateway.yaml, as the names of the files.
    assert used == {PurePosixPath(path).name for path in paths}


def test_envoy_sees_no_secret() -> None:
    assert not [mount for mount in ENVOY["volumeMounts"] if "secret" in VOLUMES[mount["name"]]]


def test_secrets_are_mounted_so_that_rotations_arrive() -> None:
    assert not [mount for mount in GATEWAY["volumeMounts"] if "subPath" in mount]


def test_the_evidence_is_written_to_a_volume() -> None:
    mount = mount_of(GATEWAY, CONFIG.evidence.dir)
    assert not mount.get("readOnly")


@pytest.mark.parametrize(
    ("container", "argv", "flag", "key"),
    [
        (GATEWAY, GATEWAY["command"], "--config", "gateway.yaml"),
        (ENVOY, ENVOY["args"], "-c", "envoy.yaml"),
    ],
    ids=CONTAINERS,
)
def test_a_container_starts_with_its_mounted_configuration(
    container: Manifest, argv: list[str], flag: str, key: str
) -> None:
    path = argv[argv.index(flag) + 1]
    assert file_of(container, path)[1] == key


def test_envoy_yaml_agrees_with_gateway_yaml() -> None:
    """A rough check that it was rendered from this file; the renderer's tests do the rest."""
    text = json.dumps(read("envoy.yaml"))
    for i in range(CONFIG.server.workers):
        assert f"{CONFIG.server.socket_dir}/worker-{i}.sock" in text
    assert f"{CONFIG.server.socket_dir}/worker-{CONFIG.server.workers}.sock" not in text
    admin = read("envoy.yaml")["admin"]["address"]["socket_address"]
    assert admin["address"] == CONFIG.server.envoy_admin.address
    assert admin["port_value"] == CONFIG.server.envoy_admin.port
    for provider in CONFIG.providers:
        assert provider.id in text


# --- how a pod ends


def test_a_pod_drains_before_it_stops() -> None:
    sleep_s = ENVOY["lifecycle"]["preStop"]["sleep"]["seconds"]
    assert sleep_s > CONFIG.server.drain_s
    assert POD["terminationGracePeriodSeconds"] > sleep_s + CONFIG.server.drain_s
    # A restart of the gateway alone has a period of its own.
    own_s = GATEWAY["livenessProbe"]["terminationGracePeriodSeconds"]
    assert own_s > CONFIG.server.drain_s


class Recorder(BaseHTTPRequestHandler):
    """Stands in for Envoy's admin and keeps what was asked of it."""

    asked: list[tuple[str, str]]

    def do_POST(self) -> None:
        self.asked.append(("POST", self.path))
        self.send_response(200)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def envoy_admin() -> Iterator[tuple[int, list[tuple[str, str]]]]:
    asked: list[tuple[str, str]] = []
    handler = type("Bound", (Recorder,), {"asked": asked})
    with HTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield server.server_port, asked
        server.shutdown()
        thread.join()


def run_hook(name: str, port: int) -> int:
    """Runs the gateway's lifecycle hook against another port than the pod's."""
    python, option, program = GATEWAY["lifecycle"][name]["exec"]["command"]
    assert (python, option) == ("python", "-c")
    in_pod = str(CONFIG.server.envoy_admin.port)
    assert in_pod in program
    return subprocess.run(
        [sys.executable, "-c", program.replace(in_pod, str(port))],
        capture_output=True,
        timeout=20,
    ).returncode


@pytest.mark.parametrize(
    ("hook", "path"), [("preStop", "/healthcheck/fail"), ("postStart", "/healthcheck/ok")]
)
def test_a_hook_tells_envoy(
    hook: str, path: str, envoy_admin: tuple[int, list[tuple[str, str]]]
) -> None:
    port, asked = envoy_admin
    assert run_hook(hook, port) == 0
    assert asked == [("POST", path)]


def test_the_gateway_starts_although_no_envoy_listens_yet() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))  # bound, never listening: connections are refused
        assert run_hook("postStart", closed.getsockname()[1]) == 0


# --- the image


def instructions() -> list[tuple[str, str]]:
    """The Dockerfile's instructions, continued lines joined and comments dropped."""
    lines = (ROOT / "Dockerfile").read_text().splitlines()
    kept = [line for line in lines if not line.lstrip().startswith("#")]
    joined = "\n".join(kept).replace("\\\n", " ").splitlines()
    return [
        (word.upper(), rest.strip())
        for word, _, rest in (line.strip().partition(" ") for line in joined)
        if word
    ]


def stages() -> list[list[tuple[str, str]]]:
    """The instructions of each stage, its FROM first."""
    found: list[list[tuple[str, str]]] = []
    for word, rest in instructions():
        if word == "FROM":
            found.append([])
        found[-1].append((word, rest))
    return found


def test_the_final_image_runs_as_the_pods_user() -> None:
    users = [rest for word, rest in stages()[-1] if word == "USER"]
    user, _, group = users[-1].partition(":")
    # A name would not do: the kubelet cannot tell whether it is root.
    assert int(user) == POD["securityContext"]["runAsUser"] != 0
    assert int(group) == POD["securityContext"]["runAsGroup"] != 0


def test_the_bases_are_pinned_and_one_interpreter() -> None:
    bases = {stage[0][1].split()[0] for stage in stages()}
    assert len(bases) == 1
    tag = bases.pop().partition(":")[2]
    assert tag.startswith("3.12.")


def test_nothing_is_fetched_past_the_package_index() -> None:
    for word, rest in instructions():
        assert word != "ADD"
        if word in ("COPY", "RUN"):
            assert "://" not in rest
            assert not {"curl", "wget", "git"} & set(rest.split())


def test_every_install_checks_hashes_or_takes_no_dependencies() -> None:
    commands = [
        command
        for word, rest in instructions()
        if word == "RUN"
        for command in rest.split("&&")
        if "pip install" in command or "pip wheel" in command
    ]
    assert any("-r /src/requirements.lock" in command for command in commands)
    for command in commands:
        assert "--require-hashes" in command or "--no-deps" in command
        # Without isolation the build backend is the one that came by hash.
        if "pip wheel" in command:
            assert "--no-build-isolation" in command


def test_the_final_image_builds_nothing() -> None:
    assert not [rest for word, rest in stages()[-1] if word in ("RUN", "ADD", "HEALTHCHECK")]


def test_the_image_starts_as_the_pod_does() -> None:
    final = dict(stages()[-1])
    assert [*json.loads(final["ENTRYPOINT"]), *json.loads(final["CMD"])] == GATEWAY["command"]


def test_only_listed_files_may_enter_the_image() -> None:
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    patterns = [line for line in lines if line and not line.startswith("#")]
    assert patterns[0] == "*"
    admitted = {line[1:].rstrip("/") for line in patterns if line.startswith("!")}
    copied = {
        source
        for stage in stages()[:-1]
        for word, rest in stage
        if word == "COPY"
        for source in rest.split()[:-1]
    }
    assert admitted == copied
