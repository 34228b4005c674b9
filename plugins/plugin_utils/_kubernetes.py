# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""An installation in Kubernetes, as documents: what the role kubernetes writes, but for the Secret's values. Pure.

Known of the product's chart: `secrets.encryption.provider`, `pkcs11.*`, the `config:` block, a Secret by
`envFrom.secretRef`. Not documented, so ASSUMED (ADR-0055): where `pkcs11`, volumes and `envFrom` are in the values, and
that the image's program takes the arguments that the one of the hosts takes. `values` of the options goes over ours.
"""

from __future__ import annotations

import base64
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

Manifest = dict[str, Any]
EXTERNAL = "external"
CONFIG_FOLDER, MODULE_FOLDER = "/etc/certautopilot", "/opt/pkcs11"
_LABEL = re.compile(r"[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?")  # RFC 1123, as names of namespaces are
_NAMES_OF_SECRETS = re.compile(r"(^|_)(pin|password|secret|pepper|kek|token)$", re.IGNORECASE)
_CREDENTIALS = re.compile(r"://[^/@\s]*:[^/@\s]+@")
# Pod Security Standards, "restricted".
_CONTAINER = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "seccompProfile": {"type": "RuntimeDefault"},
}


def is_name(text: object) -> bool:
    """Return whether a text may name what we make: what is added to it stays below 63 characters."""
    return isinstance(text, str) and len(text) <= 40 and _LABEL.fullmatch(text) is not None


def secrets_in(value: object, path: str = "") -> Iterator[str]:
    """Yield the paths of what looks like a secret in a configuration: it belongs into the Secret."""
    if isinstance(value, Mapping):
        for key, child in value.items():
            here = f"{path}.{key}" if path else str(key)
            if isinstance(child, str) and child and _NAMES_OF_SECRETS.search(str(key)):
                yield here
            else:
                yield from secrets_in(child, here)
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        for number, child in enumerate(value):
            yield from secrets_in(child, f"{path}.{number}")
    elif isinstance(value, str) and _CREDENTIALS.search(value):
        yield path


def combined(base: Mapping[str, Any], over: Mapping[str, Any]) -> Manifest:
    """Return a dictionary with another one's values over its own, level by level."""
    merged = dict(base)
    for key, value in over.items():
        below = merged.get(key)
        merged[key] = combined(below, value) if isinstance(below, Mapping) and isinstance(value, Mapping) else value
    return merged


def manifests(options: Mapping[str, Any], written: Callable[[Manifest], str]) -> dict[str, Manifest]:
    """Return file name -> document, none with a secret.

    options: those of the role, without `kubernetes_`. written: a document -> its text.
    """
    made: dict[str, Manifest] = {
        "namespace.yaml": {"apiVersion": "v1", "kind": "Namespace", "metadata": _metadata(options, None)},
        "config.yaml": _config_map(options, f"{options['release']}-config", {"config.yaml": written(_config(options))}),
        "values.yaml": combined(_values(options), options["values"]),
    }
    if options["vendor_config"]:
        made["hsm-client.yaml"] = _config_map(options, f"{options['release']}-hsm-client", options["vendor_config"])
    if options["secret_form"] == EXTERNAL:
        made["external-secret.yaml"] = _external_secret(options)
    if options["kind"]["hsm"]:
        made["pkcs11-init-job.yaml"] = _job(options)
    return made


def secret(options: Mapping[str, Any], values: Mapping[str, str]) -> Manifest:
    """Return the Secret. values: NAME to value; they are in `data` and nowhere else."""
    data = {name: base64.b64encode(value.encode()).decode() for name, value in sorted(values.items())}
    metadata = _metadata(options, options["secret_name"])
    return {"apiVersion": "v1", "kind": "Secret", "metadata": metadata, "type": "Opaque", "data": data}


def required_variables(options: Mapping[str, Any]) -> tuple[str, ...]:
    """Return the variables that a Secret must have, of the product's names."""
    encryption = str(options["kind"]["secret"]).replace("VERSION", str(options["kek_version"]))
    return ("CERTAUTOPILOT_DATABASE_URI", encryption, "CERTAUTOPILOT_API_KEY_PEPPER", "CERTAUTOPILOT_JWT_SECRET")


def _metadata(options: Mapping[str, Any], name: str | None) -> Manifest:
    """Return the metadata of an object; name: None for the namespace itself."""
    labels = {
        "app.kubernetes.io/name": "certautopilot",
        "app.kubernetes.io/instance": options["release"],
        "app.kubernetes.io/managed-by": "certautopilot.ops",
        **options["labels"],
    }
    if name is None:
        return {"name": options["namespace"], "labels": labels}
    return {"name": name, "namespace": options["namespace"], "labels": labels}


def _config_map(options: Mapping[str, Any], name: str, data: Mapping[str, str]) -> Manifest:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": _metadata(options, name), "data": dict(data)}


def _config(options: Mapping[str, Any]) -> Manifest:
    encryption: Manifest = {"provider": options["provider"]}
    if options["kind"]["hsm"]:
        encryption[options["provider"]] = _hsm(options)
    ours = {"server": {"host": "0.0.0.0", "port": 8181}, "encryption": encryption}  # noqa: S104 - behind a Service
    return combined(ours, options["config"])


def _hsm(options: Mapping[str, Any]) -> Manifest:
    said = {"module_path": options["module_path"], "token_label": options["token_label"]}
    said |= {"token_serial": options["token_serial"]} if options["token_serial"] else {}
    return {**said, "use_gcm_iv_from_hsm": True} if options["use_gcm_iv_from_hsm"] else said


def _values(options: Mapping[str, Any]) -> Manifest:
    encryption: Manifest = {"provider": options["provider"]}
    values: Manifest = {
        "config": _config(options),
        "envFrom": [{"secretRef": {"name": options["secret_name"]}}],
        "secrets": {"encryption": encryption},
    }
    if options["kind"]["hsm"]:
        encryption[options["provider"]] = _hsm(options)
        values["extraVolumes"], values["extraVolumeMounts"] = _hsm_volumes(options)
        values["extraInitContainers"] = _module_containers(options)
        values["extraEnv"] = _environment(options)
    return {name: value for name, value in values.items() if value}


def _job(options: Mapping[str, Any]) -> Manifest:
    """Return the Job that makes the key of a version. It is tried once: each try of a wrong PIN counts in the token."""
    name = f"{options['release']}-pkcs11-init-v{options['kek_version']}"
    volumes, mounts = _hsm_volumes(options)
    config = {"name": "config", "configMap": {"name": f"{options['release']}-config"}}
    container = {
        "name": "pkcs11-init",
        "image": options["image"],
        "args": ["kek", "pkcs11-init", f"--version={options['kek_version']}"],
        "envFrom": [{"secretRef": {"name": options["secret_name"]}}],
        "env": _environment(options),
        "volumeMounts": [{"name": "config", "mountPath": CONFIG_FOLDER, "readOnly": True}, *mounts],
        "securityContext": _CONTAINER,
    }
    pod: Manifest = {
        "restartPolicy": "Never",
        "automountServiceAccountToken": False,
        "securityContext": _pod_user(options),
        "initContainers": _module_containers(options),
        "containers": [container],
        "volumes": [config, *volumes],
    }
    if options["image_pull_secrets"]:
        pod["imagePullSecrets"] = [{"name": one} for one in options["image_pull_secrets"]]
    metadata = _metadata(options, name)
    template = {"metadata": {"labels": metadata["labels"]}, "spec": pod}
    spec = {"backoffLimit": 0, "activeDeadlineSeconds": int(options["job_timeout_s"]), "template": template}
    return {"apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec}


def _pod_user(options: Mapping[str, Any]) -> Manifest:
    user = {"runAsNonRoot": True, "seccompProfile": {"type": "RuntimeDefault"}}
    number = int(options["run_as_user"])
    return {**user, "runAsUser": number, "runAsGroup": number, "fsGroup": number} if number else user


def _environment(options: Mapping[str, Any]) -> list[Manifest]:
    return [{"name": name, "value": str(value)} for name, value in sorted(options["hsm_environment"].items())]


def _module_containers(options: Mapping[str, Any]) -> list[Manifest]:
    """Return the init container that copies the HSM's library out of an image, none where it comes another way."""
    if not options["module_image"]:
        return []
    copy = {
        "name": "pkcs11-module",
        "image": options["module_image"],
        "command": ["cp", "-R", f"{options['module_image_folder']}/.", MODULE_FOLDER],
        "volumeMounts": [{"name": "pkcs11-module", "mountPath": MODULE_FOLDER}],
        "securityContext": _CONTAINER,
    }
    return [copy]


def _hsm_volumes(options: Mapping[str, Any]) -> tuple[list[Manifest], list[Manifest]]:
    """Return (volumes, mounts) of the HSM's library, its client's configuration and the client's own keys."""
    volumes, mounts = list[Manifest](), list[Manifest]()
    module = {"emptyDir": {}} if options["module_image"] else options["module_volume"]
    if module:
        volumes.append({"name": "pkcs11-module", **module})
        mounts.append({"name": "pkcs11-module", "mountPath": MODULE_FOLDER, "readOnly": True})
    if options["vendor_config"]:
        volumes.append({"name": "hsm-client", "configMap": {"name": f"{options['release']}-hsm-client"}})
        mounts.append({"name": "hsm-client", "mountPath": options["vendor_config_path"], "readOnly": True})
    if options["vendor_secret"]:
        source = {"secretName": options["vendor_secret"], "defaultMode": 0o440}
        volumes.append({"name": "hsm-client-keys", "secret": source})
        mounts.append({"name": "hsm-client-keys", "mountPath": options["vendor_secret_path"], "readOnly": True})
    return volumes, mounts


def _external_secret(options: Mapping[str, Any]) -> Manifest:
    """Return an ExternalSecret of external-secrets.io: the store has the variables as the properties of one entry."""
    store = options["external"]
    spec = {
        "refreshInterval": store.get("refresh_interval", "1h"),
        "secretStoreRef": {"name": store["store"], "kind": store.get("store_kind", "SecretStore")},
        "target": {"name": options["secret_name"], "creationPolicy": "Owner"},
        "dataFrom": [{"extract": {"key": store["key"]}}],
    }
    metadata = _metadata(options, options["secret_name"])
    return {"apiVersion": "external-secrets.io/v1", "kind": "ExternalSecret", "metadata": metadata, "spec": spec}
