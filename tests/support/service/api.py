# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The read paths of the product's HTTP API: health, projects, certificates by page, single-use downloads."""

from __future__ import annotations

import base64
import datetime
import hashlib
import io
import json
import re
import secrets
import ssl
import threading
import zipfile
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

from bson import ObjectId
from bson.errors import InvalidId
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.serialization import pkcs12

from .registry import Registry

RANK = {"viewer": 1, "operator": 2, "admin": 3}
TOKEN_LIFE = datetime.timedelta(minutes=5)
KEY_FORMATS = {"key.pem", "bundle.pkcs12", "bundle.zip"}
TYPES = {"bundle.pkcs12": "application/x-pkcs12", "bundle.zip": "application/zip"}
PROJECT = r"/api/v1/projects/([0-9a-f]{24})"


class Refused(Exception):
    """headers: of the answer, such as Retry-After."""

    def __init__(self, status: int, code: str, **headers: str) -> None:
        super().__init__(code)
        self.status = status
        self.code = code
        self.headers = headers


class Dropped(Exception):
    """The connection ends without an answer."""


def serve_http(registry: Registry, *, before: Callable[[str, str, Any], None] | None = None) -> ThreadingHTTPServer:
    """Start answering in threads of its own; return the server, to be shut down by the caller.

    before: called with method, path and headers of each request; it raises Refused or Dropped for what is to go wrong.
    """
    handler = type("Handler", (_Handler,), {"registry": registry, "before": staticmethod(before) if before else None})
    server = ThreadingHTTPServer((registry.config.host, registry.config.port), handler)
    server.daemon_threads = True
    if registry.config.tls_cert:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(registry.config.tls_cert, registry.config.tls_key)
        # WHY the handshake later: here it would keep all others waiting for one who says nothing.
        server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def hash_key(pepper: str, key: str) -> str:
    """Return what `api_keys` stores of a key."""
    return hashlib.sha256((pepper + key).encode()).hexdigest()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"  # connections are kept
    # WHY: head and body of an answer are two writes; the second would wait until the first was acknowledged.
    disable_nagle_algorithm = True
    registry: Registry
    before: Callable[[str, str, Any], None] | None = None
    body = b""

    def log_message(self, *_arguments: Any) -> None:
        """Stay quiet: tests read the log for failures."""

    def do_GET(self) -> None:
        self._answer("GET")

    def do_POST(self) -> None:
        self._answer("POST")

    def _answer(self, method: str) -> None:
        self.body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        headers: dict[str, str] = {}
        try:
            if self.before is not None:
                self.before(method, self.path, self.headers)
            status, kind, body = self._route(method, urlsplit(self.path))
        except Dropped:
            self.close_connection = True
            return
        except Refused as refusal:
            status, kind, headers = refusal.status, "application/json", refusal.headers
            body = json.dumps({"error": {"code": refusal.code, "message": refusal.code}}).encode()
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.send_header("Content-Type", kind)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def _route(self, method: str, url: Any) -> tuple[int, str, bytes]:
        if url.path == "/healthz":
            return _json({"status": "ok"})
        if url.path == "/readyz":
            return self._ready()
        if found := re.fullmatch(r"/api/v1/downloads/([A-Za-z0-9_-]+)", url.path):
            return self._download(found[1])
        role = self._role()
        query = {name: values[0] for name, values in parse_qs(url.query).items()}
        if method == "GET" and url.path == "/api/v1/projects":
            return _json(self._page("projects", {}, query))
        if method == "GET" and (found := re.fullmatch(rf"{PROJECT}/certificates", url.path)):
            return _json(self._page("certificates", {"project_id": ObjectId(found[1])}, query))
        if method == "GET" and (found := re.fullmatch(rf"{PROJECT}/certificates/([0-9a-f]{{24}})", url.path)):
            return _json(self._certificate(found[1], found[2]))
        if method == "POST" and (
            found := re.fullmatch(rf"{PROJECT}/certificates/([0-9a-f]{{24}})/download-tokens", url.path)
        ):
            return self._new_token(role, found[1], found[2])
        raise Refused(404, "not_found")

    def _ready(self) -> tuple[int, str, bytes]:
        try:
            ready = self.registry.is_ready()
        except Exception:  # noqa: BLE001 - whatever it is, the process is not ready
            ready = False
        body = json.dumps({"ready": ready, "provider": self.registry.config.provider, "version": self.registry.active})
        return 200 if ready else 503, "application/json", body.encode()

    def _role(self) -> str:
        scheme, _space, key = self.headers.get("Authorization", "").partition(" ")
        if scheme != "Bearer" or not re.fullmatch(r"cap_[a-z2-7]{52}", key):
            raise Refused(401, "unauthorized")
        found = self.registry.db.api_keys.find_one({"hash": hash_key(self.registry.config.pepper, key)})
        if found is None:
            raise Refused(401, "unauthorized")
        return str(found["role"])

    def _page(self, collection: str, where: dict[str, Any], query: dict[str, str]) -> dict[str, Any]:
        try:
            limit = min(int(query.get("limit", "50")), 500)
            if limit < 1:
                raise ValueError("limit")
            after = ObjectId(base64.urlsafe_b64decode(query["cursor"]).decode()) if query.get("cursor") else None
        except (ValueError, InvalidId) as cause:
            raise Refused(400, "bad_request") from cause
        where = {**where, **({"_id": {"$gt": after}} if after else {})}
        found = list(self.registry.db[collection].find(where).sort("_id", 1).limit(limit + 1))
        more = len(found) > limit
        cursor = base64.urlsafe_b64encode(str(found[limit - 1]["_id"]).encode()).decode() if more else ""
        return {"items": [_plain(document) for document in found[:limit]], "next_cursor": cursor}

    def _certificate(self, project: str, certificate: str) -> dict[str, Any]:
        where = {"_id": ObjectId(certificate), "project_id": ObjectId(project)}
        found = self.registry.db.certificates.find_one(where)
        if found is None:
            raise Refused(404, "not_found")
        return _plain(found)

    def _new_token(self, role: str, project: str, certificate: str) -> tuple[int, str, bytes]:
        try:
            asked = json.loads(self.body or b"{}")
        except ValueError as cause:
            raise Refused(400, "bad_request") from cause
        self._certificate(project, certificate)
        policy = self.registry.db.settings.find_one({"_id": "certificate_policy"}) or {}
        if RANK[role] < RANK["operator"] or (asked.get("format") in KEY_FORMATS and not policy.get("allow_key_export")):
            raise Refused(403, "forbidden")
        if asked.get("format") in KEY_FORMATS and policy.get("approval"):
            raise Refused(403, "approval_required")
        token = secrets.token_urlsafe(32)
        now = self.registry.db.client.admin.command("hello")["localTime"]
        self.registry.db.download_tokens.insert_one({
            "_id": hashlib.sha256(token.encode()).hexdigest(), "certificate_id": ObjectId(certificate),
            "format": asked.get("format", "cert.pem"), "passphrase": asked.get("passphrase", ""),
            "expires_at": now + TOKEN_LIFE,
        })  # fmt: skip
        return _json({"token": token}, status=201)

    def _download(self, token: str) -> tuple[int, str, bytes]:
        db = self.registry.db
        found = db.download_tokens.find_one_and_delete({"_id": hashlib.sha256(token.encode()).hexdigest()})
        if found is None or found["expires_at"] < db.client.admin.command("hello")["localTime"]:
            raise Refused(410, "token_used_or_expired")
        files = self._files(found)
        if found["format"] not in files:
            raise Refused(404, "format_not_available")
        kind = TYPES.get(found["format"], "application/x-pem-file")
        return 200, kind, files[found["format"]]

    def _files(self, token: dict[str, Any]) -> dict[str, bytes]:
        db = self.registry.db
        certificate = db.certificates.find_one({"_id": token["certificate_id"]})
        leaf, chain = certificate["certificate_pem"].encode(), certificate["chain_pem"].encode()
        files = {"cert.pem": leaf, "chain.pem": chain, "fullchain.pem": leaf + chain}
        sealed = db.certificate_private_keys.find_one({"certificate_id": certificate["_id"]})
        if sealed is not None:
            pem = self.registry.open(sealed["_id"], "encrypted_key", sealed["encrypted_key"])
            key: Any = serialization.load_pem_private_key(pem, None)
            files["key.pem"] = pem
            files["bundle.pkcs12"] = pkcs12.serialize_key_and_certificates(
                b"certificate", key, x509.load_pem_x509_certificate(leaf), x509.load_pem_x509_certificates(chain),
                serialization.BestAvailableEncryption(token["passphrase"].encode() or b"changeit"),
            )  # fmt: skip
            raw = io.BytesIO()
            with zipfile.ZipFile(raw, "w") as archive:
                for name, content in files.items():
                    archive.writestr(name, content)
            files["bundle.zip"] = raw.getvalue()
        return files


def _json(document: Any, *, status: int = 200) -> tuple[int, str, bytes]:
    return status, "application/json", json.dumps(document).encode()


def _plain(document: dict[str, Any]) -> dict[str, Any]:
    """Return a document as the API shows it: ids and instants as text, nothing sealed."""
    shown = {"id" if name == "_id" else name: value for name, value in document.items() if "encrypted" not in name}
    return {n: v.isoformat() + "Z" if isinstance(v, datetime.datetime) else str(v) if isinstance(v, ObjectId) else v
            for n, v in shown.items()}  # fmt: skip
