# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""cert_export by the service's API: the stand-in over TLS with a CA of its own, and what can go wrong on the way."""

from __future__ import annotations

import datetime
import ipaddress
import json
import re
from collections import Counter
from pathlib import Path

import pytest
from ansible_collections.certautopilot.ops.plugins.module_utils._api import client
from ansible_collections.certautopilot.ops.plugins.module_utils._domain.errors import OpsError
from bson import ObjectId
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.x509.oid import NameOID

from tests.integration import stock
from tests.support import pki
from tests.support.service.api import Dropped, Refused, hash_key, serve_http
from tests.support.service.config import Config
from tests.support.service.registry import Registry, connect

KEY = "cap_" + "abcdefghijklmnopqrstuvwxyz234567" + "a" * 20
FORMATS = ("cert.pem", "chain.pem", "fullchain.pem", "key.pem", "bundle.pkcs12", "bundle.zip")
PHRASE = "correct horse battery"


def server_certificate(folder):
    """Write a CA and a certificate for 127.0.0.1; return their paths and that of the key."""
    authority, key = pki.Authority("API"), pki.key_of("ec", 900)
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "127.0.0.1")])
    now = datetime.datetime.now(datetime.UTC)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name).issuer_name(authority.root.subject).public_key(key.public_key())
        .serial_number(7).not_valid_before(now).not_valid_after(now + datetime.timedelta(days=2))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]), critical=False)
        .sign(authority.root_key, hashes.SHA256())
    )  # fmt: skip
    paths = [folder / name for name in ("ca.pem", "server.pem", "server.key")]
    for path, content in zip(
        paths, (pki.pem(authority.root), pki.pem(certificate), pki.pkcs8(key).decode()), strict=True
    ):
        path.write_text(content)
    return paths


class Road:
    """The stand-in before a site's database, and calls of cert_export by it. faults: what goes wrong, in order.

    faults: (pattern of "METHOD path", exception), each for one request. asked: every request.
    """

    def __init__(self, site, folder):
        self.site, self.folder, self.out = site, folder, folder / "out"
        self.faults, self.asked, self.keys = [], [], []
        self.ca, certificate, key = server_certificate(folder)
        config = Config(
            provider="env", uri=site.uri, database=site.name, host="127.0.0.1", port=0, instance="stand-in",
            keks=site.keks, tls_cert=str(certificate), tls_key=str(key),
        )  # fmt: skip
        self.server = serve_http(Registry(config, connect(config)), before=self.before)
        self.url = f"https://127.0.0.1:{self.server.server_port}"
        for name, content in (("api-key", KEY), ("phrase", PHRASE)):
            (folder / name).touch(mode=0o600)
            (folder / name).write_text(content + "\n")

    def before(self, method, path, headers):
        self.asked.append(f"{method} {path}")
        self.keys.append(headers.get("Authorization", ""))
        for fault in self.faults:
            if re.search(fault[0], f"{method} {path}"):
                self.faults.remove(fault)
                raise fault[1]

    def call(self, **options):
        """Export with keys; return (result or failure)."""
        options = {
            "api_url": self.url, "api_key_file": str(self.folder / "api-key"), "api_ca_file": str(self.ca),
            "formats": FORMATS, "include_keys": True, "passphrase_file": str(self.folder / "phrase"),
            "dest": str(self.out), **options,
        }  # fmt: skip
        try:
            return self.site.call("cert_export", **options)
        except OpsError as failure:
            return failure

    def index(self):
        return {one["name"]: one for one in json.loads((self.out / "index.json").read_text())["certificates"]}


@pytest.fixture
def road(env_site, tmp_path):
    stock.allow_key_export(env_site)
    env_site.db.api_keys.insert_one({"_id": 1, "role": "operator", "hash": hash_key("", KEY)})
    made = Road(env_site, tmp_path)
    yield made
    made.server.shutdown()
    made.server.server_close()


@pytest.fixture
def slept(monkeypatch):
    """Nobody waits; return how long somebody would have."""
    waits = []
    monkeypatch.setattr(client, "_wait", waits.append)
    return waits


@pytest.fixture
def web(road):
    return stock.project(road.site, "Web")


def codes(failure):
    return sorted(one["code"] for one in failure.facts["failures"])


def require_fitting_keys(folder):
    for path in folder.rglob("key.pem"):
        certificate = path.with_name("cert.pem").read_bytes()
        key, _others = pki.opened_pkcs12(path.with_name("bundle.pkcs12"), PHRASE)
        assert pki.public_key(path.read_bytes()) == pki.public_key(key) == pki.public_of(certificate)


def test_both_roads_give_the_same_files(road, web, tmp_path):
    for name in ("api", "api", "API", "../../escaped", "*.example.com"):
        stock.certificate(road.site, web, name)
    stock.certificate(road.site, web, "own-csr", with_key=False)

    predicted, done, again = road.call(), road.call(), None
    again = road.call()
    road.site.call("cert_export", dest=str(tmp_path / "db"), formats=FORMATS[:4], include_keys=True)

    same = {
        path.relative_to(tmp_path / "db") for path in (tmp_path / "db" / "web").rglob("*.pem")
        if path.read_bytes() == (road.out / path.relative_to(tmp_path / "db")).read_bytes()
    }  # fmt: skip
    assert (predicted.changed, done.changed, again.changed) == (True, False, False)
    assert len(same) == 6 * 3 + 5
    assert any("own-csr" in warning for warning in road.site.warnings)
    require_fitting_keys(road.out)


def test_check_mode_predicts_the_road_and_writes_nothing(road, web):
    stock.certificate(road.site, web, "api")
    options = {"api_url": road.url, "api_key_file": str(road.folder / "api-key"), "api_ca_file": str(road.ca)}
    predicted = road.site.call("cert_export", check=True, dest=str(road.out), **options)
    nothing = not road.out.exists()
    real = road.site.call("cert_export", dest=str(road.out), **options)

    assert (nothing, predicted.values, predicted.changed) == (True, real.values, True)


def test_more_than_a_thousand_certificates_come_in_pages(road, web):
    leaf = stock.authority().leaf("leaf")
    fields = {"project_id": web, "certificate_pem": leaf.pem, "chain_pem": "", "status": "active"}
    documents = [{"_id": ObjectId(), "name": f"c{n}", **fields} for n in range(1203)]
    road.site.db.certificates.insert_many(documents)

    done = road.call(names=("c0", "c499", "c500", "c1202"), formats=("cert.pem",), include_keys=False)

    pages = [one for one in road.asked if "/certificates?limit=500" in one]
    assert [entry["name"] for entry in done.values["certificates"]] == ["c0", "c499", "c500", "c1202"]
    assert len(pages) == 3
    assert Counter(one.split()[0] for one in road.asked)["POST"] == 4


def test_the_key_is_in_a_header_and_nowhere_else_and_not_in_downloads(road, web):
    stock.certificate(road.site, web, "api")

    done = road.call()

    assert KEY not in json.dumps(done.values)
    assert not [path for path in road.out.rglob("*") if path.is_file() and KEY.encode() in path.read_bytes()]
    assert not [one for one in road.asked if KEY in one]
    sent = {bool(key) for asked, key in zip(road.asked, road.keys, strict=True) if "/downloads/" in asked}
    assert sent == {False}


@pytest.mark.parametrize("where", ["GET .*/projects", "GET .*/certificates", "POST ", "GET .*/downloads"])
def test_429_waits_as_long_as_it_is_told_and_goes_on(road, web, slept, where):
    stock.certificate(road.site, web, "api")
    road.faults = [(where, Refused(429, "rate_limited", Retry_After="17")), (where, Refused(429, "x", Retry_After="3"))]

    done = road.call()

    assert done.changed
    if "downloads" not in where:  # a token is good for one download only: another one is asked for at once
        assert slept == [17.0, 3.0]
    require_fitting_keys(road.out)


@pytest.mark.parametrize(
    "fault", [Refused(500, "boom"), Refused(503, "busy"), Dropped()], ids=["500", "503", "dropped"]
)
@pytest.mark.parametrize("where", ["GET .*/projects", "GET .*cursor", "POST ", "GET .*/downloads"])
def test_a_failure_in_the_middle_is_tried_again(road, web, slept, where, fault, monkeypatch):
    for number in range(5):
        stock.certificate(road.site, web, f"c{number}")
    monkeypatch.setattr(f"{client.__package__.rpartition('.')[0]}._domain.api_answers.PAGE", 2)
    road.faults = [(where, fault), (where, fault)]

    done = road.call()

    assert done.values["counts"] == {"written": 5, "incomplete": 0, "failed": 0}
    assert road.faults == []
    require_fitting_keys(road.out)


def test_what_fails_for_good_is_listed_and_the_others_are_written(road, web, slept):
    stock.certificate(road.site, web, "good")
    bad = stock.certificate(road.site, web, "bad")
    road.faults = [(f"POST .*{bad}", Refused(500, "boom"))] * 100

    failure = road.call()

    assert (failure.code, codes(failure)) == ("export.incomplete", ["api.unavailable"])
    assert {name: one["outcome"] for name, one in road.index().items()} == {"good": "written", "bad": "failed"}
    assert slept == [1.0, 2.0, 4.0, 8.0, 16.0]
    require_fitting_keys(road.out)


def test_a_wait_that_is_too_long_is_not_waited_for(road, web, slept):
    stock.certificate(road.site, web, "api")
    road.faults = [("GET .*/projects\\?", Refused(429, "rate_limited", Retry_After="86400"))]

    failure = road.call()

    assert (failure.code, slept, road.out.exists()) == ("api.unavailable", [], False)


def test_a_token_that_is_too_old_or_used_is_asked_for_again(road, web):
    stock.certificate(road.site, web, "api")
    real, aged = road.before, []

    def too_late(method, path, headers):
        real(method, path, headers)
        if "/downloads/" in path and len(aged) < 2:
            aged.append(path)
            old = datetime.datetime(2020, 1, 1)
            road.site.db.download_tokens.update_many({}, {"$set": {"expires_at": old}})

    road.server.RequestHandlerClass.before = staticmethod(too_late)

    done = road.call()

    assert (done.changed, len(aged)) == (True, 2)
    assert len([one for one in road.asked if one.startswith("POST")]) == 4
    require_fitting_keys(road.out)


@pytest.mark.parametrize(
    ("policy", "role", "code"),
    [
        ({"allow_key_export": False}, "admin", "export.key_forbidden"),
        ({"allow_key_export": True, "approval": ["download_key"]}, "admin", "export.key_waits"),
    ],
)
def test_x93_a_key_that_the_service_keeps_is_listed_and_the_rest_written(road, web, policy, role, code):
    road.site.db.settings.update_one({"_id": "certificate_policy"}, {"$set": policy})
    stock.certificate(road.site, web, "api")

    failure = road.call()

    assert (failure.code, codes(failure)) == ("export.incomplete", [code])
    assert sorted(path.name for path in (road.out / "web" / "api").iterdir()) == [
        "cert.pem", "chain.pem", "fullchain.pem",
    ]  # fmt: skip


def test_a_viewer_may_download_nothing_and_is_told_so(road, web):
    road.site.db.api_keys.update_one({}, {"$set": {"role": "viewer"}})
    stock.certificate(road.site, web, "api")

    failure = road.call()

    assert (failure.code, codes(failure)) == ("export.incomplete", ["api.refused"])


def test_a_list_that_cannot_be_read_keeps_the_other_projects_and_what_is_there(road, web, slept):
    other = stock.project(road.site, "Other")
    stock.certificate(road.site, web, "api")
    stock.certificate(road.site, other, "api")
    road.call()
    road.faults = [(f"GET .*/projects/{other}/certificates", Refused(403, "forbidden"))]

    failure = road.call()

    assert (failure.code, codes(failure)) == ("export.incomplete", ["api.refused"])
    assert (failure.facts["removed"], failure.facts["counts"]["written"]) == (0, 1)
    assert (road.out / "other" / "api" / "key.pem").exists()


def test_a_key_that_the_service_does_not_know_stops_the_run(road, web):
    road.site.db.api_keys.delete_many({})

    failure = road.call()

    assert failure.code == "api.unauthorized"
    assert KEY not in str(failure.as_result())


def test_a_server_whose_certificate_nobody_vouches_for_gets_no_key(road, web):
    failure = road.call(api_ca_file=None)

    assert (failure.code, "not trusted" in failure.message, road.asked) == ("api.unreachable", True, [])


@pytest.mark.parametrize("status", [301, 302, 307, 308])
def test_a_redirect_is_not_followed_wherever_it_leads(road, web, status):
    road.faults = [("GET ", Refused(status, "moved", Location="https://elsewhere.example/api/v1/projects"))]

    failure = road.call()

    assert (failure.code, len(road.asked)) == ("api.redirect", 1)


@pytest.mark.parametrize(
    ("options", "code"),
    [
        ({"api_url": "http://certautopilot.example"}, "api.address"),
        ({"api_url": "http://localhost:1"}, "api.address"),
        ({"api_url": "https://user:secret@certautopilot.example"}, "api.address"),
        ({"api_url": "https://certautopilot.example/other"}, "api.address"),
        ({"api_url": "ftp://certautopilot.example"}, "api.address"),
        ({"api_key_file": None}, "export.api_options"),
        ({"api_url": None}, "export.api_options"),
        ({"override_key_export_policy": True}, "export.api_options"),
        ({"api_ca_file": "/dev/null"}, "api.ca_file"),
        ({"api_key_file": "/nonexistent"}, "file.missing"),
    ],
)
def test_options_of_the_road_that_make_no_sense_are_refused_before_anybody_is_asked(road, options, code):
    failure = road.call(**options)

    assert (failure.code, road.asked, road.out.exists()) == (code, [], False)
    assert "secret" not in failure.message


@pytest.mark.parametrize("content", ["", "cap_short", "cap_" + "a" * 52 + "\r\nX: y", "Bearer " + KEY])
def test_a_file_without_a_key_is_refused_and_not_shown(road, content):
    (road.folder / "api-key").write_text(content)

    failure = road.call()

    assert (failure.code, road.asked) == ("api.key_invalid", [])
    assert not content or content[:9] not in str(failure.as_result())


def test_one_folder_is_not_filled_by_two_roads(road, web):
    stock.certificate(road.site, web, "api")
    road.call()

    with pytest.raises(OpsError) as refused:
        road.site.call("cert_export", dest=str(road.out))

    assert refused.value.code == "export.other_source"


def test_a_killed_service_is_named_and_worth_another_try(road, web, slept):
    road.server.shutdown()
    road.server.server_close()

    failure = road.call()

    assert (failure.code, failure.retryable, Path(road.out).exists()) == ("api.unreachable", True, False)


def test_what_a_filter_turns_out_not_to_choose_keeps_its_files(road, web):
    leaf = stock.authority().leaf("leaf", number=80)
    stock.certificate(road.site, web, "one", leaf=leaf)
    stock.certificate(road.site, web, "two", serial_number=None)  # the list does not tell: it is fetched to find out
    road.call()

    done = road.call(serials=(format(leaf.certificate.serial_number, "x"),))

    assert [entry["name"] for entry in done.values["certificates"]] == ["one"]
    assert (done.values["removed"], (road.out / "web" / "two" / "key.pem").exists()) == (0, True)
    assert set(road.index()) == {"one", "two"}
