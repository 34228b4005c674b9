# Copyright (c) 2026 the certautopilot.ops authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The road by the service's API: lists by page, certificates and keys by single-use downloads.

No passphrase and no KEK goes this way: PKCS#12 and zip are made from what is downloaded. A token that ran out on the
way, or whose download broke, is asked for again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

from .._domain import api_answers as api
from .._domain.api_answers import Answer, Page
from .._domain.certificate_source import Fetched, Listed, Problem, Project
from .._domain.errors import OpsError
from .client import ApiClient

_DOWNLOADS = 3  # tokens for one file


class ApiCertificates:
    """See `CertificateSource`. identity: of the service."""

    def __init__(self, client: ApiClient, identity: str) -> None:
        self._client = client
        self.identity = identity
        self.missed: list[Problem] = []

    def projects(self) -> Sequence[Project]:
        try:
            return [_project(item) for item in self._items("the list of projects", api.projects_path)]
        except _Missed as why:
            raise OpsError(
                why.problem.reason, code=why.problem.code, hint="look at the service, and at what its API key may do"
            ) from None

    def listing(self, projects: Sequence[Project]) -> Iterator[Listed]:
        for project in projects:
            what = f"the list of certificates of project {project.title}"
            try:
                for item in self._items(what, lambda cursor, of=project.id: api.certificates_path(of, cursor)):  # type: ignore[misc]
                    yield _listed(item, project)
            except _Missed as why:
                self.missed.append(why.problem)

    def _items(self, what: str, path: Callable[[str], str]) -> Iterator[Mapping[str, object]]:
        """Yield the items of all pages. Raises _Missed, OpsError api.*."""
        cursor, seen = "", set[str]()
        while True:
            page = self._page(what, path(cursor))
            yield from page.items
            if not page.cursor:
                return
            if page.cursor in seen:
                raise _Missed(Problem("api.malformed", f"{what} does not end: two pages have one cursor"))
            seen.add(page.cursor)
            cursor = page.cursor

    def _page(self, what: str, path: str) -> Page:
        answer = self._client.ask("GET", path)
        if answer.status != api.OK:
            raise _Missed(api.refused(what, answer))
        try:
            return api.page_of(answer.body)
        except ValueError as cause:
            raise _Missed(Problem("api.malformed", f"{what} cannot be understood ({cause})")) from None

    def fetch(self, batch: Sequence[Listed], *, with_keys: bool) -> Iterator[Fetched]:
        for listed in batch:
            answer = self._download(listed, api.PUBLIC_FORMAT)
            if isinstance(answer, Problem):
                yield Fetched(listed, b"", b"", problem=answer)
            elif answer.status == api.OK:
                yield self._with_key(listed, answer.body) if with_keys else Fetched(listed, answer.body, b"")
            elif answer.status == api.NOT_FOUND:
                yield Fetched(listed, b"", b"")  # pending; one that is gone meanwhile is told the same way
            else:
                yield Fetched(listed, b"", b"", problem=api.refused("its download", answer))

    def _with_key(self, listed: Listed, certificate: bytes) -> Fetched:
        answer = self._download(listed, api.KEY_FORMAT)
        if isinstance(answer, Problem):
            return Fetched(listed, certificate, b"", key_problems=(answer,))
        if answer.status == api.OK:
            return Fetched(listed, certificate, b"", keys=(answer.body,))
        withheld = api.refused_key(answer)
        if withheld is None and answer.status == api.NOT_FOUND:
            return Fetched(listed, certificate, b"")
        problem = withheld or api.refused("the download of its key", answer)
        return Fetched(listed, certificate, b"", key_problems=(problem,))

    def _download(self, listed: Listed, form: str) -> Answer | Problem:
        """Return the answer to a download, or to the question for its token where that is refused."""
        path, body = api.token_request(listed.project.id, listed.id, form)
        answer = Answer(0, b"")
        for _token in range(_DOWNLOADS):
            asked = self._client.ask("POST", path, body)
            if asked.status not in (api.OK, api.CREATED):
                return asked
            try:
                token = api.token_of(asked.body)
            except ValueError:
                return Problem("api.malformed", "the answer to the question for a download has no token in it")
            answer = self._fetched(token)
            if answer.status != api.GONE and not answer.is_for_later:
                return answer
        return answer

    def _fetched(self, token: str) -> Answer:
        try:
            return self._client.ask("GET", api.download_path(token), with_key=False, tries=1)
        except OpsError as failure:
            if not failure.retryable:
                raise
            return Answer(api.GONE, b"")  # the token may have been used: ask for another


class _Missed(Exception):
    """A list that cannot be read."""

    def __init__(self, problem: Problem) -> None:
        super().__init__(problem.reason)
        self.problem = problem


def _project(item: Mapping[str, object]) -> Project:
    names = {api.text_in(item, name) for name in ("id", "slug", "name")} - {""}
    return Project(str(item["id"]), frozenset(names), api.text_in(item, "slug", "name", "id"))


def _listed(item: Mapping[str, object], project: Project) -> Listed:
    record_id = str(item["id"])
    names = {record_id, api.text_in(item, "name"), api.text_in(item, "common_name")} - {""}
    return Listed(
        key=record_id,
        id=record_id,
        mark=record_id,
        project=project,
        name=api.text_in(item, "name", "common_name", "id"),
        aliases=frozenset(names),
        facts=api.facts_in(item),
    )
