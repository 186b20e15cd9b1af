# SPDX-License-Identifier: Apache-2.0
"""An image's config survives being a commit's; its history tells steps, messages and configs."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.image import history
from envgit.image.config import (
    ImageConfig,
    build_config,
    format_time,
    from_commit,
    origin_of,
    parse_config,
    parse_time,
    to_commit,
)
from envgit.image.descriptors import ImageError

FULL: dict[str, Any] = {
    "created": "2024-05-01T12:00:00.123456789Z",
    "author": "A U Thor <author@example.org>",
    "architecture": "arm",
    "variant": "v7",
    "os": "linux",
    "os.version": "1",
    "os.features": ["x"],
    "config": {
        "Env": ["PATH=/bin", "EMPTY="],
        "Cmd": ["sh"],
        "Entrypoint": None,
        "WorkingDir": "/w",
        "User": "1:2",
        "Labels": {"a": "b"},
        "ExposedPorts": {"80/tcp": {}},
        "Volumes": {"/v": {}},
        "StopSignal": "SIGINT",
        "Healthcheck": {"Test": ["CMD", "true"], "Interval": 30_000_000_000},
        "Shell": ["/bin/sh", "-c"],
        "OnBuild": ["RUN x"],
        "ArgsEscaped": True,
        "Unheard": {"of": [1]},
    },
    "rootfs": {"type": "layers", "diff_ids": ["sha256:" + "ab" * 32]},
    "history": [{"created_by": "x", "empty_layer": True, "odd": 1}, {"created": "y"}],
    "docker_version": "20.10",
    "container_config": {"Hostname": "h"},
}


def test_a_config_survives_being_a_commit() -> None:
    parsed = parse_config(json.dumps(FULL).encode())
    config, platform = from_commit(to_commit(parsed.config, parsed.platform))
    origin = origin_of(parsed)
    again = ImageConfig(
        platform,
        config,
        parsed.diff_ids,
        parsed.history,
        origin["created"],
        origin["author"],
        origin["others"],
    )
    assert json.loads(build_config(again)) == FULL


@pytest.mark.parametrize(
    "wrong",
    [
        {"rootfs": None},
        {"rootfs": {"type": "other", "diff_ids": []}},
        {"rootfs": {"type": "layers", "diff_ids": ["x"]}},
        {"config": []},
        {"config": {"Env": "A=1"}},
        {"config": {"Env": ["A=\0"]}},
        {"config": {"Cmd": [1]}},
        {"config": {"Labels": {"a": 1}}},
        {"config": {"User": 1}},
        {"config": {"Volumes": ["/v"]}},
        {"history": {"a": 1}},
        {"history": ["x"]},
        {"history": [{"created_by": 1}]},
        {"created": 1},
        {"os": 1},
    ],
)
def test_impossible_configs(wrong: dict[str, Any]) -> None:
    with pytest.raises(ImageError):
        parse_config(json.dumps({**FULL, **wrong}).encode())


@pytest.mark.parametrize(
    ("text", "moment"),
    [
        ("1970-01-01T00:00:00Z", (0, 0)),
        ("2024-05-01T12:00:00.123456789Z", (1714564800, 0)),
        ("2024-05-01T14:00:00+02:00", (1714564800, 120)),
        ("2024-05-01T06:30:00-05:30", (1714564800, -330)),
        ("2016-12-31T23:59:60Z", (1483228799, 0)),
        ("0001-01-01T00:00:00Z", None),
        ("2024-13-01T00:00:00Z", None),
        ("yesterday", None),
        ("", None),
    ],
)
def test_times(text: str, moment: tuple[int, int] | None) -> None:
    assert parse_time(text) == moment
    if moment is not None:
        assert parse_time(format_time(moment[0])) == (moment[0], 0)


def test_no_time_of_an_image() -> None:
    with pytest.raises(ImageError):
        format_time(10**18)


@pytest.mark.parametrize(
    ("created_by", "step"),
    [
        ('/bin/sh -c #(nop)  CMD ["bash"]', 'CMD ["bash"]'),
        ("/bin/sh -c apt-get update", "RUN apt-get update"),
        ("RUN /bin/sh -c apt-get update # buildkit", "RUN apt-get update"),
        ("|1 A=1 /bin/sh -c make", "RUN make"),
        ("RUN |1 A=1 /bin/sh -c make # buildkit", "RUN make"),
        ("COPY x /y # buildkit", "COPY x /y"),
        ("debian.sh --arch 'amd64' out/", "debian.sh --arch 'amd64' out/"),
        ("", ""),
    ],
)
def test_steps(created_by: str, step: str) -> None:
    assert history.step({"created_by": created_by}) == step


def test_entries_without_a_layer_belong_to_the_layer_before() -> None:
    entries = [
        {"created_by": "ARG X", "empty_layer": True},
        {"created_by": "ADD rootfs /"},
        {"created_by": '/bin/sh -c #(nop)  CMD ["sh"]', "empty_layer": True},
        {"created_by": "RUN /bin/sh -c make # buildkit", "comment": "buildkit.dockerfile.v0"},
    ]
    groups = history.divide(entries, 2)  # type: ignore[arg-type]
    assert groups == [tuple(entries[:3]), tuple(entries[3:])]
    assert [entry for group in groups for entry in group] == entries
    assert history.message(groups[0], "") == 'ADD rootfs /\n\nARG X\nCMD ["sh"]\n'
    assert history.message(groups[1], "") == "RUN make\n"
    assert history.divide(entries, 3) is None  # type: ignore[arg-type]
    assert history.divide([], 0) is None


def test_messages() -> None:
    assert history.message([], "image: layer 1") == "image: layer 1\n"
    assert history.message([{"created_by": "/bin/bash", "comment": "by hand"}], "") == (
        "by hand\n\n/bin/bash\n"
    )
    assert history.message([{"created_by": "x" * 300}], "").startswith("x" * 197 + "...\n\nxxx")
    assert history.message([{"created_by": "a\nb\0"}], "") == "a\n\nb\n"
    assert history.message([{"created_by": "/bin/sh", "comment": "FROM debian"}], "") == (
        "/bin/sh\n\nFROM debian\n"
    )


def test_what_a_later_step_sets_is_not_there_before() -> None:
    final = {
        "Env": ["PATH=/bin", "A=2", "B=x y"],
        "Cmd": ["new"],
        "User": "u",
        "ExposedPorts": {"80/tcp": {}, "81/tcp": {}},
        "Labels": {"l": "1"},
        "Architecture": "amd64",
    }
    groups = [
        [
            {"created_by": "ADD x /"},
            {"created_by": "/bin/sh -c #(nop)  ENV A=1", "empty_layer": True},
            {"created_by": '/bin/sh -c #(nop)  CMD ["old"]', "empty_layer": True},
            {"created_by": "EXPOSE map[80/tcp:{}]", "empty_layer": True},
        ],
        [
            {"created_by": "RUN y"},
            {"created_by": "ENV A=2 B='x y'", "empty_layer": True},
            {"created_by": "USER u", "empty_layer": True},
            {"created_by": "EXPOSE 81", "empty_layer": True},
            {"created_by": "LABEL l=1", "empty_layer": True},
            {"created_by": 'CMD ["new"]', "empty_layer": True},
        ],
    ]
    first, last = history.configs(final, groups)  # type: ignore[arg-type]
    assert last == final
    assert first == {
        "Env": ["PATH=/bin", "A=1"],
        "Cmd": ["old"],
        "ExposedPorts": {"80/tcp": {}},
        "Architecture": "amd64",
    }


TEXTS = st.text(st.sampled_from("ENV CMDA=1[]\"' \n{}:|#/bin/sh -c(nop)\0é"), max_size=60)


@given(st.lists(st.tuples(TEXTS, TEXTS, st.booleans()), max_size=6))
def test_any_history_tells_something(listed: list[tuple[str, str, bool]]) -> None:
    entries = [
        {"created_by": by, "comment": comment, "empty_layer": empty}
        for by, comment, empty in listed
    ]
    layers = sum(not entry["empty_layer"] for entry in entries)
    groups = history.divide(entries, layers)
    final = {"Env": ["A=1", "B"], "Cmd": ["x"], "Labels": {"A": "=\n"}, "Volumes": {"A": {}}}
    if groups is not None:
        assert history.configs(final, groups)[-1] == final
        for group in groups:
            said = history.message(group, "title")
            assert said.endswith("\n") and said.strip() and "\0" not in said
