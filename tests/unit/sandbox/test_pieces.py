# SPDX-License-Identifier: Apache-2.0
"""The small pieces: capabilities, messages, failures, the table of system calls."""

from __future__ import annotations

import os
import threading
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from envgit.sandbox import capabilities, channel, failure, profile, seccomp
from envgit.sandbox.failure import CommandNotFound, RootGone, SandboxError


def test_capabilities() -> None:
    everything = set(capabilities.NUMBERS)
    assert capabilities.choose() == capabilities.DEFAULT
    assert capabilities.choose(["ALL"]) == everything
    assert capabilities.choose(["all"], ["CAP_SYS_ADMIN"]) == everything - {"SYS_ADMIN"}
    assert capabilities.choose(["NET_ADMIN"], ["ALL"]) == {"NET_ADMIN"}
    assert capabilities.choose(["KILL"], ["kill"]) == capabilities.DEFAULT - {"KILL"}
    with pytest.raises(SandboxError, match="'CAP_FLY'"):
        capabilities.choose(["CAP_FLY"])
    # What Docker's own documentation shows as the mask of a default container.
    assert capabilities.mask(capabilities.DEFAULT) == 0xA80425FB
    assert set(capabilities.names(0xA80425FB)) == capabilities.DEFAULT


@given(st.lists(st.tuples(st.integers(0, 255), st.binary(max_size=300)), max_size=8))
def test_messages_arrive_as_they_were_sent(messages: list[tuple[int, bytes]]) -> None:
    read, write = os.pipe()
    for kind, payload in messages:
        channel.send(write, kind, payload)
    os.close(write)
    inbox = channel.Inbox(read)
    received = []
    while inbox.open:
        received += inbox.receive()
    os.close(read)
    assert received == messages


def test_a_message_may_be_longer_than_a_pipe() -> None:
    read, write = os.pipe()
    payload = os.urandom(500_000)
    sender = threading.Thread(target=channel.send, args=(write, 1, payload))
    sender.start()
    inbox = channel.Inbox(read)
    received: list[tuple[int, bytes]] = []
    while not received:
        received += inbox.receive()
    sender.join()
    os.close(read)
    os.close(write)
    assert received == [(1, payload)]


def test_an_order_to_nobody_is_no_error() -> None:
    read, write = os.pipe()
    os.close(read)
    channel.order(write, 15, group=True)
    os.close(write)


@pytest.mark.parametrize("kind", [SandboxError, CommandNotFound, RootGone])
@pytest.mark.parametrize("hint", [None, "try this"])
def test_failures_cross_the_pipe(kind: type[SandboxError], hint: str | None) -> None:
    error = kind("no such thing \udcff\0 here", hint=hint)
    got = failure.decode(failure.encode(error), (b"proc",))
    assert type(got) is kind and got.hint == hint and got.created == (b"proc",)
    assert got.message == "no such thing \udcff? here"
    assert got.exit_code == kind.exit_code


def test_exit_statuses_are_dockers() -> None:
    assert (SandboxError.exit_code, failure.CommandNotExecutable.exit_code) == (125, 126)
    assert CommandNotFound.exit_code == 127


def test_no_call_is_both_allowed_and_refused() -> None:
    for granted in (0, 0xA80425FB, (1 << 41) - 1):
        allowed = {rule.name for rule in profile._allowed(granted)}
        refused = {rule.name for rule in profile._refused(granted)}
        assert not allowed & refused
        assert {"openat", "execve", "clone", "futex"} <= allowed
        assert {"keyctl", "kexec_load", "userfaultfd"} <= refused
        assert ("mount" in allowed) == bool(granted >> 21 & 1)


def test_the_cache_survives_damage(tmp_path: Path) -> None:
    file = tmp_path / "deep" / "filter"
    seccomp._write(str(file), (b"12345678", b"x" * 16))
    assert seccomp._read(str(file)) == (b"12345678", b"x" * 16)
    data = file.read_bytes()
    for broken in (b"", data[:-1], data + b"x", data.replace(b"1234", b"1235"), b"\0" * 100):
        file.write_bytes(broken)
        assert seccomp._read(str(file)) == ()
    assert seccomp._read(str(tmp_path)) == ()
    seccomp._write("/proc/no/such/place", (b"",))
