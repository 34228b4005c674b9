# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The role kubernetes through its playbook. The oracle are the schemas of the API, which kubernetes-validate has.

No cluster is here. Kinds that others define (SealedSecret, ExternalSecret) have no schema: their fields are looked at.
"""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
import sys
from pathlib import Path

import kubernetes_validate
import pytest
import yaml

from tests.integration.modules.test_no_secret_shows import leaks
from tests.support.processes import REPOSITORY

RELEASES = ("1.31", "1.37")  # of the API: the oldest that is maintained at the time of writing, and the newest
VARIABLES = {
    "CERTAUTOPILOT_DATABASE_URI": "mongodb://app:p@ss-of-the-database@db.example/",
    "CERTAUTOPILOT_ENCRYPTION_PKCS11_PIN": "pin with blanks and 'quotes'",
    "CERTAUTOPILOT_ENCRYPTION_ENV_KEK_V1": "0f" * 32,
    "CERTAUTOPILOT_API_KEY_PEPPER": "pepper-of-the-keys",
    "CERTAUTOPILOT_JWT_SECRET": "secret-of-the-tokens",
}
HSM = {
    "kubernetes_provider": "pkcs11",
    "kubernetes_module_path": "/opt/pkcs11/libvendor.so",
    "kubernetes_token_label": "certautopilot-prod",
    "kubernetes_token_serial": "844d9c87ba984b2d",
    "kubernetes_module_image": "registry.example/hsm-client@sha256:" + "a" * 64,
    "kubernetes_vendor_config": {"client.conf": "server = hsm.example\n"},
    "kubernetes_vendor_secret": "hsm-client-keys",
    "kubernetes_hsm_environment": {"CLIENT_CONF": "/etc/hsm-client/client.conf"},
    "kubernetes_use_gcm_iv_from_hsm": True,
    "kubernetes_run_as_user": 10001,
    "kubernetes_image_pull_secrets": ["registry"],
}


@pytest.fixture
def written(tmp_path):
    """Return a function that runs the playbook: options -> (exit status, output, name -> text of what is written)."""
    secrets = tmp_path / "secrets.env"
    secrets.touch(mode=0o600)
    secrets.write_text("".join(f'{name}="{value}"\n' for name, value in VARIABLES.items()))
    out = tmp_path / "out"

    def run(*arguments, **options):
        base = {
            "kubernetes_dest": str(out),
            "kubernetes_provider": "env",
            "kubernetes_image": "registry.example/certautopilot:1.4.0",
            "kubernetes_secrets_file": str(secrets),
            "kubernetes_config": {"database": {"name": "certautopilot"}},
        }
        host = {"ansible_connection": "local", "ansible_python_interpreter": sys.executable, **base, **options}
        inventory = tmp_path / "inventory.yml"
        inventory.write_text(yaml.safe_dump({"kubernetes": {"hosts": {"localhost": host}}}))
        environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / ".build/collections")}
        done = subprocess.run(
            [Path(sys.executable).parent / "ansible-playbook", "-i", inventory, "certautopilot.ops.kubernetes",
             *arguments],
            env=environment, capture_output=True, text=True, check=False, timeout=900,
        )  # fmt: skip
        files = {path.name: path.read_text() for path in out.iterdir()} if out.exists() else {}
        return done.returncode, done.stdout + done.stderr, files

    run.out, run.secrets = out, secrets
    return run


def documents(files):
    return {name: yaml.safe_load(text) for name, text in files.items() if name != "values.yaml"}


@pytest.mark.parametrize("options", [
    {}, HSM, {**HSM, "kubernetes_secret_form": "existing"},
    {**HSM, "kubernetes_module_image": "", "kubernetes_module_volume": {"hostPath": {"path": "/opt/hsm"}}},
], ids=["env", "pkcs11", "no secret", "a volume"])  # fmt: skip
def test_every_document_passes_the_schemas_of_two_releases_of_the_api(written, options):
    status, output, files = written(**options)

    assert status == 0, output[-2000:]
    kinds = {"Namespace", "ConfigMap"} | ({"Secret"} if "kubernetes_secret_form" not in options else set())
    assert {one["kind"] for one in documents(files).values()} == kinds | ({"Job"} if options else set())
    for release in RELEASES:
        for document in documents(files).values():
            kubernetes_validate.validate(document, release, strict=True)
        with pytest.raises(kubernetes_validate.utils.ValidationError):  # it does look
            kubernetes_validate.validate({**documents(files)["namespace.yaml"], "metadata": 7}, release, strict=True)


def test_check_then_run_then_again(written):
    checked, said, nothing = written("--check", "--diff", **HSM)
    first, _output, files = written(**HSM)
    second, output, again = written(**HSM)

    assert (checked, first, second) == (0, 0, 0), said[-2000:]
    assert nothing == {}
    assert "changed=0" in output
    assert again == files
    assert {path.stat().st_mode & 0o777 for path in written.out.iterdir()} == {0o600}
    assert written.out.stat().st_mode & 0o777 == 0o700


def test_the_secret_has_every_variable_in_its_data_and_nothing_else_has_any(written):
    _status, output, files = written("-vvv", "--diff", **HSM)
    values = {name: value.encode() for name, value in VARIABLES.items()}

    secret = documents(files).pop("secret.yaml")
    assert {name: base64.b64decode(value) for name, value in secret.pop("data").items()} == values
    assert not leaks(yaml.safe_dump(secret), values)
    assert "annotations" not in secret["metadata"]
    assert not leaks(output + "".join(text for name, text in files.items() if name != "secret.yaml"), values)


def test_the_job_tries_once_as_an_ordinary_user_and_gets_no_token_of_the_cluster(written):
    _status, _output, files = written(**HSM)

    job = documents(files)["pkcs11-init-job.yaml"]
    pod = job["spec"]["template"]["spec"]
    assert (job["spec"]["backoffLimit"], pod["restartPolicy"]) == (0, "Never"), "each try of a wrong PIN counts"
    assert (pod["automountServiceAccountToken"], pod["securityContext"]["runAsUser"]) == (False, 10001)
    for container in (*pod["initContainers"], *pod["containers"]):
        assert container["securityContext"]["readOnlyRootFilesystem"]
        assert not container["securityContext"]["allowPrivilegeEscalation"]
    assert pod["containers"][0]["args"] == ["kek", "pkcs11-init", "--version=1"]
    mounted = {one["name"] for one in pod["containers"][0]["volumeMounts"]}
    assert mounted == {one["name"] for one in pod["volumes"]}


def test_configuration_and_values_say_the_same_and_ones_own_go_over_them(written):
    own = {"replicas": 3, "secrets": {"encryption": {"pkcs11": {"token_label": "another"}}}}
    _status, _output, files = written(**HSM, kubernetes_values=own)

    values = yaml.safe_load(files["values.yaml"])
    config = yaml.safe_load(documents(files)["config.yaml"]["data"]["config.yaml"])
    assert values["config"] == config
    assert config["database"] == {"name": "certautopilot"}
    assert config["encryption"]["pkcs11"]["use_gcm_iv_from_hsm"] is True
    assert config["encryption"]["pkcs11"]["token_serial"] == "844d9c87ba984b2d"
    assert values["replicas"] == 3
    assert values["secrets"]["encryption"] == {
        "provider": "pkcs11", "pkcs11": {**config["encryption"]["pkcs11"], "token_label": "another"},
    }  # fmt: skip


def test_an_external_secret_reads_no_file_and_replaces_the_one_that_was_written(written):
    written(**HSM)
    external = {"store": "vault", "store_kind": "ClusterSecretStore", "key": "certautopilot/prod"}

    status, output, files = written(
        **HSM, kubernetes_secret_form="external", kubernetes_external=external, kubernetes_secrets_file=""
    )

    assert status == 0, output[-2000:]
    assert "secret.yaml" not in files
    found = documents(files)["external-secret.yaml"]
    assert (found["apiVersion"], found["kind"]) == ("external-secrets.io/v1", "ExternalSecret")
    assert found["spec"]["secretStoreRef"] == {"name": "vault", "kind": "ClusterSecretStore"}
    assert found["spec"]["dataFrom"] == [{"extract": {"key": "certautopilot/prod"}}]
    assert found["spec"]["target"]["name"] == "certautopilot-secrets"


@pytest.mark.parametrize(("options", "code"), [
    ({"kubernetes_namespace": "Cert_Autopilot"}, "kubernetes.name"),
    ({"kubernetes_release": "x" * 41}, "kubernetes.name"),
    ({"kubernetes_config": {"jwt": {"secret": "s3cret-word"}}}, "kubernetes.open_secret"),
    ({"kubernetes_values": {"env": [{"uri": "mongodb://me:s3cret-word@db"}]}}, "kubernetes.open_secret"),
    ({**HSM, "kubernetes_hsm_environment": {"HSM_PIN": "s3cret-word"}}, "kubernetes.open_secret"),
    ({**HSM, "kubernetes_module_path": "libvendor.so"}, "kubernetes.hsm"),
    ({**HSM, "kubernetes_token_label": ""}, "kubernetes.hsm"),
    ({**HSM, "kubernetes_module_volume": {"emptyDir": {}}}, "kubernetes.hsm"),
    ({"kubernetes_secret_form": "external"}, "kubernetes.external"),
    ({"kubernetes_secrets_file": "/nowhere/secrets.env"}, "kubernetes.secrets_file"),
    ({"kubernetes_kek_version": 2}, "kubernetes.variables"),
    ({"kubernetes_secret_form": "sealed"}, "kubernetes.certificate"),
])  # fmt: skip
def test_what_cannot_become_an_installation_is_refused_before_anything_is_written(written, options, code):
    status, output, files = written(**options)

    assert status == 2
    assert f"{code}: " in output
    assert files == {}
    assert "s3cret-word" not in output.partition("TASK [Preflight")[2]


def test_a_file_that_others_can_read_is_refused(written):
    written.secrets.chmod(0o640)

    status, output, files = written()

    assert (status, files) == (2, {})
    assert "kubernetes.secrets_file: " in output
    assert "of mode 0640" in output


SEALS = """#!/bin/sh
# Stands for kubeseal: what it got is kept for the test, and what it prints says how often it was asked.
cat > "$0.got"; echo "$@" > "$0.arguments"; echo x >> "$0.times"
printf 'kind: SealedSecret\\ntimes: %s\\n' "$(wc -l < "$0.times")"
"""


def test_what_is_sealed_is_sealed_anew_only_when_it_is_older(written, tmp_path, monkeypatch):
    """kubeseal itself is not here: a program of its name says what it was asked."""
    program, certificate = tmp_path / "bin" / "kubeseal", tmp_path / "cluster.pem"
    program.parent.mkdir()
    program.write_text(SEALS)
    program.chmod(0o755)
    certificate.write_text("a certificate")
    monkeypatch.setenv("PATH", f"{program.parent}:{os.environ['PATH']}")
    options = {"kubernetes_secret_form": "sealed", "kubernetes_sealing_certificate": str(certificate)}

    first, output, files = written("-vvv", "--diff", **options)
    _second, again, _files = written(**options)
    os.utime(written.secrets)
    _third, _output, renewed = written(**options)

    assert first == 0, output[-2000:]
    assert yaml.safe_load(files["sealed-secret.yaml"]) == {"kind": "SealedSecret", "times": 1}
    assert "changed=0" in again
    assert yaml.safe_load(renewed["sealed-secret.yaml"])["times"] == 2
    given = yaml.safe_load(program.with_name("kubeseal.got").read_text())
    assert base64.b64decode(given["data"]["CERTAUTOPILOT_JWT_SECRET"]) == b"secret-of-the-tokens"
    assert str(certificate) in program.with_name("kubeseal.arguments").read_text()
    values = {name: value.encode() for name, value in VARIABLES.items()}
    assert not leaks(output + program.with_name("kubeseal.arguments").read_text(), values)
    shutil.rmtree(program.parent)


def test_an_inventory_without_the_playbooks_host_is_a_failure(tmp_path):
    environment = {**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(REPOSITORY / ".build/collections")}
    done = subprocess.run(
        [Path(sys.executable).parent / "ansible-playbook", "-i", "localhost,", "certautopilot.ops.kubernetes"],
        env=environment, capture_output=True, text=True, check=False, timeout=900, cwd=tmp_path,
    )  # fmt: skip

    assert done.returncode == 2
    assert "kubernetes.no_host" in done.stdout
