# SPDX-License-Identifier: Apache-2.0
"""Gem specifications as RubyGems of several times wrote them; nothing of the Ruby is run."""

from __future__ import annotations

import random
import time
from collections.abc import Callable

import pytest

from envgit.packages.model import Unreadable
from envgit.packages.readers import gemspec
from tests.support.installed import MemoryFiles, inventory_of
from tests.support.mutants import mutant, survives

PLACE = b"var/lib/gems/3.1.0"

SPEC = rb"""# -*- encoding: utf-8 -*-
# stub: hi-there 2.0.pre1 x86_64-linux lib

Gem::Specification.new do |s|
  s.name = "hi-there".freeze
  s.version = "2.0.pre1"
  s.platform = Gem::Platform.new(["x86_64".freeze, "linux".freeze])

  s.required_rubygems_version = Gem::Requirement.new("> 1.3.1".freeze) if s.respond_to? :x=
  s.metadata = { "homepage_uri" => "https://example.org/other" } if s.respond_to? :metadata=
  s.require_paths = ["lib".freeze]
  s.authors = ["a".freeze]
  s.description = "s.name = \"evil\"\n".freeze
  s.executables = ["hi".freeze, "../../etc/passwd".freeze]
  s.homepage = "https://example.org/hi".freeze
  s.licenses = ["MIT".freeze, "Ruby".freeze]
  s.summary = "Say \"hi\" \#{x} \u00FC \u{1F600 41}".freeze

  if s.respond_to? :add_runtime_dependency then
    s.add_runtime_dependency(%q<rack>.freeze, ["~> 2.0".freeze, ">= 2.1".freeze])
    s.add_runtime_dependency(%q<json>.freeze, [">= 0"])
    s.add_development_dependency(%q<minitest>.freeze, [">= 0"])
  else
    s.add_dependency(%q<rack>.freeze, ["~> 2.0", ">= 2.1"])
    s.add_dependency(%q<json>.freeze, [">= 0"])
    s.add_dependency(%q<minitest>.freeze, [">= 0"])
  end
end
"""


def files(place: bytes = PLACE, **more: bytes) -> MemoryFiles:
    name = b"hi-there-2.0.pre1-x86_64-linux"
    return MemoryFiles(
        {
            b"/".join((place, b"specifications", name + b".gemspec")): SPEC,
            b"/".join((place, b"gems", name, b"lib/hi.rb")): b"",
            b"/".join((place, b"extensions/x86_64-linux/3.1.0", name, b"hi.so")): b"",
            b"usr/local/bin/hi": b"#!/usr/bin/ruby3.1\n# by RubyGems\nload 'hi-there'\n",
            **{path.replace("__", "/").encode(): data for path, data in more.items()},
        }
    )


def test_a_specification() -> None:
    inventory = inventory_of(files())
    (package,) = inventory.contents.packages
    assert (package.name, package.version) == ("hi-there", "2.0.pre1")
    assert (package.architecture, package.place) == ("x86_64-linux", PLACE)
    assert package.summary == 'Say "hi" #{x} ü 😀A'
    assert (package.license, package.homepage) == ("MIT OR Ruby", "https://example.org/hi")
    assert package.requires == ("rack (~> 2.0, >= 2.1)", "json")
    assert package.carried_by == ""
    assert {one.path.rpartition(b"/")[2] for one in inventory.manifest(package)} == {
        b"hi-there-2.0.pre1-x86_64-linux.gemspec",
        b"hi.rb",
        b"hi.so",
        b"hi",
    }


@pytest.mark.parametrize(
    ("place", "more", "carrier"),
    [
        (b"usr/share/rubygems-integration/all", {"var__lib__dpkg__status": b""}, "dpkg"),
        (b"usr/lib/ruby/gems/3.2.0", {"lib__apk__db__triggers": b""}, "apk"),
        (
            b"usr/lib/ruby/gems/3.2.0",
            {
                "lib__apk__db__triggers": b"",
                "usr__lib__ruby__gems__3.2.0__cache__hi-there-2.0.pre1-x86_64-linux.gem": b"",
            },
            "",
        ),
        (b"usr/local/bundle", {"var__lib__dpkg__status": b""}, ""),
    ],
)
def test_who_brought_it(place: bytes, more: dict[str, bytes], carrier: str) -> None:
    packages = inventory_of(files(place, **more)).contents.packages
    assert [one.carried_by for one in packages if one.manager == "gem"] == [carrier]


def test_default_gems() -> None:
    path = b"usr/lib/ruby/gems/3.1.0/specifications/default/json-2.6.1.gemspec"
    (package,) = inventory_of(
        MemoryFiles({path: b'  s.name = "json"\n  s.version = "2.6.1"\n'})
    ).contents.packages
    assert (package.state, package.place) == ("default", b"usr/lib/ruby/gems/3.1.0")


def test_newer_ones_have_no_two_branches() -> None:
    found = gemspec.parse(
        b'Gem::Specification.new do |s|\n  s.name = "a".freeze\n  s.version = "1".freeze\n'
        b'  s.specification_version = 4\n  s.add_dependency(%q<b>.freeze, ["~> 1.0".freeze])\nend\n'
    )
    assert found.requires == ["b (~> 1.0)"]


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b's.name = `touch /tmp/x`\ns.version = File.read("/etc/passwd")\n',
        b's.name = "a" + evil\n',
        b'\x00s.version = "1"\n' * 10,
    ],
)
def test_what_says_nothing_is_unreadable(data: bytes) -> None:
    with pytest.raises(Unreadable):
        gemspec.parse(data)


@pytest.mark.parametrize(
    "line",
    [
        b'  s.summary = "' + b"\\" * 2_000_000,
        b"  s.executables = [" + b'"a", ' * 400_000,
        b"  s.add_dependency(" + b"%q<" * 20_000,
        b'  s.summary = "' + b'\\"' * 30_000,
        b"# stub: " + b"a " * 30_000,
        b"  s.add_dependency(%q<a>)\n" * 200_000,
        b'  s.summary = "\\u{' + b"1 " * 30_000 + b'}"',
    ],
)
def test_hostile_lines_are_read_in_time(line: bytes) -> None:
    started = time.process_time()
    found = gemspec.parse(b's.name = "a"\ns.version = "1"\n' + line)
    assert (found.name, found.version) == ("a", "1")
    assert time.process_time() - started < 2


@pytest.mark.fuzz
def test_damage(effort: Callable[[int, int], int]) -> None:
    whole = dict(files().files)
    for seed in range(effort(200, 20_000)):
        rng = random.Random(seed)
        damaged = {path: mutant(data, rng) for path, data in whole.items()}
        survives("gem", MemoryFiles(damaged), [PLACE + b"/specifications"])
