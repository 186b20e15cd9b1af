# SPDX-License-Identifier: Apache-2.0
"""Whose credentials are found for which repository, in which file, and through which helper."""

from __future__ import annotations

import base64
import json
import time
from pathlib import Path
from typing import Any

import pytest

from envgit.image.registry import keyhelper
from envgit.image.registry.credentials import Credentials, CredentialsError, Found, find


def _auth(user: str, password: str) -> dict[str, str]:
    return {"auth": base64.b64encode(f"{user}:{password}".encode()).decode()}


def _write(path: Path, content: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content))


@pytest.fixture
def environ(tmp_path: Path) -> dict[str, str]:
    return {
        "HOME": str(tmp_path / "home"),
        "XDG_RUNTIME_DIR": str(tmp_path / "run"),
        "PATH": f"{tmp_path}/bin",
    }


def _user(found: Found) -> str:
    return found.credentials.username if found.credentials is not None else ""


def test_the_longest_key_counts(tmp_path: Path, environ: dict[str, str]) -> None:
    keys = ["reg.example", "reg.example/a", "reg.example/a/b/c", "reg.example:5000"]
    auths = {key: _auth(key.replace(":", "_"), "x") for key in keys}
    _write(tmp_path / "run/containers/auth.json", {"auths": auths})
    for path, key in {
        "a/b/c": "reg.example/a/b/c",
        "a/b/c/d": "reg.example/a/b/c",
        "a/b": "reg.example/a",
        "a": "reg.example/a",
        "ab": "reg.example",
        "a/b/cc": "reg.example/a",
    }.items():
        assert _user(find("reg.example", path, environ)) == key
    assert _user(find("reg.example:5000", "a", environ)) == "reg.example_5000"
    assert find("other.example", "a", environ) == Found(None)


def test_files_in_the_order_of_the_manual(tmp_path: Path, environ: dict[str, str]) -> None:
    places = [
        tmp_path / "home/.dockercfg",
        tmp_path / "home/.docker/config.json",
        tmp_path / "home/.config/containers/auth.json",
        tmp_path / "run/containers/auth.json",
    ]
    for place in places:
        entry = {"reg.example": _auth(place.name + place.parent.name, "x")}
        _write(place, entry if place.name == ".dockercfg" else {"auths": entry})
        assert _user(find("reg.example", "a", environ)) == place.name + place.parent.name
    _write(tmp_path / "named.json", {"auths": {"reg.example": _auth("named", "x")}})
    environ["REGISTRY_AUTH_FILE"] = str(tmp_path / "named.json")
    assert _user(find("reg.example", "a", environ)) == "named"
    environ["REGISTRY_AUTH_FILE"] = str(tmp_path / "absent.json")
    with pytest.raises(CredentialsError, match=r"absent\.json"):
        find("reg.example", "a", environ)


@pytest.mark.parametrize(
    "key",
    ["docker.io", "https://index.docker.io/v1/", "index.docker.io", "https://registry-1.docker.io"],
)
def test_names_of_docker_hub(tmp_path: Path, environ: dict[str, str], key: str) -> None:
    _write(tmp_path / "home/.docker/config.json", {"auths": {key: _auth("ada", "x")}})
    assert _user(find("docker.io", "library/debian", environ)) == "ada"


def test_keys_that_are_urls(tmp_path: Path, environ: dict[str, str]) -> None:
    config = {"auths": {"https://reg.example/v2/": _auth("ada", "a:b\0\0")}}
    _write(tmp_path / "home/.docker/config.json", config)
    found = find("reg.example", "a/b", environ).credentials
    assert found == Credentials("ada", "a:b")
    assert found is not None and found.basic == "Basic YWRhOmE6Yg=="
    assert "a:b" not in repr(found)


@pytest.mark.parametrize(
    "text",
    ["[]", "{", "nonsense", "[" * 100_000, '{"auths": {"reg.example": {"auth": "%%%"}}}', "\xff",
     '{"auths": {"reg.example": {"auth": "bm9jb2xvbg=="}}}'],
)  # fmt: skip
def test_damaged_files_are_named(tmp_path: Path, environ: dict[str, str], text: str) -> None:
    _write(tmp_path / "home/.docker/config.json", text)
    with pytest.raises(CredentialsError, match=r"config\.json"):
        find("reg.example", "a", environ)


@pytest.mark.parametrize(
    "text",
    ["", "{}", '{"auths": []}', '{"auths": {"reg.example": null}}',
     '{"auths": {"reg.example": {}}}', '{"credHelpers": 5, "credsStore": []}',
     '{"auths": {"reg.example": {"auth": 5}}}'],
)  # fmt: skip
def test_files_that_say_nothing(tmp_path: Path, environ: dict[str, str], text: str) -> None:
    _write(tmp_path / "home/.docker/config.json", text)
    assert find("reg.example", "a", environ) == Found(None)


def _helper(tmp_path: Path, script: str) -> None:
    path = tmp_path / "bin/docker-credential-tests"
    _write(path, f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


def test_a_helper_for_a_host_goes_before_the_file(tmp_path: Path, environ: dict[str, str]) -> None:
    config = {
        "auths": {"reg.example": _auth("file", "x"), "b.example": _auth("file", "x")},
        "credHelpers": {"reg.example": "tests"},
        "credsStore": "tests",
    }
    _write(tmp_path / "home/.docker/config.json", config)
    _helper(tmp_path, 'read -r s; echo \'{"Username":"\'$s\'","Secret":"x"}\'')
    assert _user(find("reg.example", "a", environ)) == "reg.example"
    assert _user(find("b.example", "a", environ)) == "file"
    assert _user(find("c.example", "a", environ)) == "c.example"
    assert _user(find("docker.io", "library/debian", environ)) == "https://index.docker.io/v1/"
    _helper(tmp_path, 'echo \'{"Username":"<token>","Secret":"refresh"}\'')
    assert find("c.example", "a", environ).credentials == Credentials(identity_token="refresh")
    _helper(tmp_path, "echo credentials not found in native keychain; exit 1")
    assert find("c.example", "a", environ) == Found(None)


@pytest.mark.parametrize(
    ("script", "said"),
    [
        ("echo the keyring is locked >&2; exit 1", "failed: the keyring is locked"),
        ("exit 3", "exit status 3"),
        ("echo hello", "answers what no credential helper does"),
        ('echo \'{"Username": 1, "Secret": 2}\'', "answers what no credential helper does"),
        ("kill -9 $$", "failed"),
    ],
)
def test_a_helper_that_fails_is_a_problem_and_no_error(
    tmp_path: Path, environ: dict[str, str], script: str, said: str
) -> None:
    _write(tmp_path / "home/.docker/config.json", {"credsStore": "tests"})
    _helper(tmp_path, script)
    found = find("reg.example", "a", environ)
    assert found.credentials is None and len(found.problems) == 1 and said in found.problems[0]


def test_helpers_have_names_and_an_end(tmp_path: Path, environ: dict[str, str]) -> None:
    for name in ("../../bin/sh", "a b", "", "-x"):
        with pytest.raises(keyhelper.HelperFailed, match="not the name"):
            keyhelper.ask(name, "reg.example", environ)
    with pytest.raises(keyhelper.HelperFailed, match="is not installed"):
        keyhelper.ask("absent", "reg.example", environ)
    # A child of the helper keeps its output open: neither may keep us.
    _helper(tmp_path, "/bin/sleep 3 & /bin/sleep 3")
    began = time.monotonic()
    with pytest.raises(keyhelper.HelperFailed, match="did not answer"):
        keyhelper.ask("tests", "reg.example", environ, timeout=0.2)
    assert time.monotonic() - began < 2
