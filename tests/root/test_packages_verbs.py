# SPDX-License-Identifier: Apache-2.0
"""The verbs that speak of packages, on what the host's apt and dpkg do in an environment."""

from __future__ import annotations

import json
import subprocess
import textwrap
from pathlib import Path
from typing import Any

import pytest

from tests.support import builders, cli

pytestmark = [
    pytest.mark.root,
    pytest.mark.needs("overlay"),
    pytest.mark.peer("apt-get>=1.1"),
    pytest.mark.peer("dpkg-deb>=1.19"),
]

BOUND = ("bin", "sbin", "lib/apt", "lib/dpkg", "lib/x86_64-linux-gnu", "share", "libexec", "lib64")


class Apt:
    """An environment in which the host's apt and dpkg work on an empty database of their own."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.project = folder / "project"
        content: builders.Tree = {
            "etc": {
                "apt": {"apt.conf.d": None, "preferences.d": None},
                "passwd": "root:x:0:0:root:/root:/bin/sh\n",
                "group": "root:x:0:\n",
            },
            "tmp": None,
            "usr": {"lib": None},
            "var": {
                "lib": {
                    "dpkg": {"status": "", "info": None, "updates": None},
                    "apt": {"lists": {"partial": None}},
                },
                "cache": {"apt": {"archives": {"partial": None}}},
                "log": {"apt": None},
            },
        }
        builders.tree(folder / "rootfs", content)
        for name in ("bin", "sbin", "lib", "lib64"):
            (folder / "rootfs" / name).symlink_to(f"usr/{name}")
        cli.run(["init", "-q", self.project, "--from", f"rootfs:{folder}/rootfs"]).ok()

    def envgit(self, *words: str) -> cli.Result:
        """Call envgit in the project; it must succeed."""
        return cli.run(words, cwd=self.project).ok()

    def json(self, *words: str) -> Any:
        """What a verb prints with --json."""
        return json.loads(self.envgit(*words, "--json").stdout)

    def run(self, script: str) -> cli.Result:
        """Run a shell script inside; it must succeed."""
        volumes = [
            word
            for name in BOUND
            if (Path("/usr") / name).is_dir()
            for word in ("-v", f"/usr/{name}:/usr/{name}:ro")
        ]
        volumes += ["-v", "/etc/alternatives:/etc/alternatives:ro"]
        volumes += ["-v", f"{self.folder}:/debs:ro"]
        return cli.run(["run", *volumes, "sh", "-c", script], cwd=self.project).ok()

    def package(
        self, name: str, version: str, depends: str = "", files: dict[str, str] | None = None
    ) -> str:
        """Build a package; its path inside. Files in ``etc`` are its configuration."""
        control = self.folder / f"{name}-{version.replace(':', '_')}" / "DEBIAN" / "control"
        control.parent.mkdir(parents=True)
        control.write_text(
            textwrap.dedent(f"""\
                Package: {name}
                Version: {version}
                Architecture: all
                Maintainer: T <t@x>
                Description: nothing
            """)
            + (f"Depends: {depends}\n" if depends else "")
        )
        for path, text in (files or {}).items():
            place = control.parents[1] / path
            place.parent.mkdir(parents=True, exist_ok=True)
            place.write_text(text)
        config = "".join(f"/{path}\n" for path in files or {} if path.startswith("etc/"))
        if config:
            control.with_name("conffiles").write_text(config)
        made = self.folder / f"{name}_{version.replace(':', '_')}.deb"
        build = ["dpkg-deb", "--build", "--root-owner-group", str(control.parents[1]), str(made)]
        subprocess.run(build, check=True, capture_output=True)
        return f"/debs/{made.name}"

    def commit(self) -> str:
        """Commit with the drafted message; that message."""
        self.envgit("commit", "-q", "--auto")
        return self.envgit("log", "-1", "--format=%B").stdout.strip()


APT = "apt-get -qq -y -o APT::Sandbox::User=root --allow-downgrades"


@pytest.fixture
def apt(tmp_path: Path) -> Apt:
    """An environment without a package."""
    return Apt(tmp_path)


def wheel(name: str, version: str) -> str:
    """A script that does what pip leaves of a package."""
    site = "/opt/venv/lib/python3.11/site-packages"
    info = f"{site}/{name}-{version}.dist-info"
    return (
        f"rm -rf {site}/{name}-*; mkdir -p {info}; cd {info};"
        f" printf 'Metadata-Version: 2.1\\nName: {name}\\nVersion: {version}\\n' > METADATA;"
        f" echo pip > INSTALLER; : > REQUESTED; echo {version} > {site}/{name}.py;"
        f" printf '{name}.py,,\\n{name}-{version}.dist-info/METADATA,,\\n' > RECORD"
    )


# -- messages -------------------------------------------------------------------------------------


def test_commit_auto_names_what_was_done(apt: Apt) -> None:
    one, two = apt.package("tool", "1.0-1"), apt.package("tool", "1:1.0~rc1")
    needy = apt.package("needy", "3", depends="tool")
    apt.run(f"{APT} install {one}")
    assert apt.commit() == "apt: install tool 1.0-1"

    apt.run(f"{APT} install {two} {needy}")
    assert apt.commit() == (
        "apt: upgrade tool 1.0-1 → 1:1.0~rc1, +1 more\n\n"
        "upgrade tool 1.0-1 → 1:1.0~rc1\ninstall needy 3"
    )

    apt.run(f"{APT} install {one}; {APT} remove needy")
    assert apt.commit().splitlines()[2:] == [
        "downgrade tool 1:1.0~rc1 → 1.0-1",
        "remove needy 3",
    ]

    # What comes to nothing is no installation; nor is what dpkg did not do.
    apt.run(f"{APT} install {needy}; {APT} remove needy; {APT} -s install {two}")
    assert not apt.commit().startswith("apt:")


def test_the_package_that_was_asked_for_comes_first(apt: Apt) -> None:
    one = apt.package("zz-wanted", "1", depends="aa-needed")
    apt.package("aa-needed", "1")
    apt.run(f"dpkg -i {one} /debs/aa*.deb")
    assert apt.commit().startswith("apt: install zz-wanted 1, +1 more\n")


def test_a_message_for_several_managers(apt: Apt) -> None:
    apt.run(f"{APT} install {apt.package('tool', '1')}; {wheel('thing', '2.0')}")
    assert apt.commit() == "apt: install tool 1; pip: install thing 2.0"


def test_a_changed_file_of_a_package_is_no_installation(apt: Apt) -> None:
    apt.run(f"{APT} install {apt.package('tool', '1', files={'etc/tool.conf': 'a'})}")
    apt.commit()
    apt.run("echo b > /etc/tool.conf")
    assert apt.commit() == "sh -c 'echo b > /etc/tool.conf'"


def test_an_editor_opens_on_the_draft(apt: Apt) -> None:
    apt.run(f"{APT} install {apt.package('tool', '1')}")
    editor = {"ENVGIT_EDITOR": "sed -i s/install/get/"}
    cli.run(["commit", "-q", "-e"], cwd=apt.project, env=editor).ok()
    assert apt.envgit("log", "-1", "--format=%s").stdout == "apt: get tool 1\n"


def test_names_from_a_hostile_database_do_no_harm(apt: Apt) -> None:
    site = "/opt/lib/python3.11/site-packages/x-1.dist-info"
    text = "Name: a\\033[31mred\\nVersion: 1\\r2\\n\\n"
    apt.run(f"mkdir -p {site}; printf '{text}' > {site}/METADATA")
    about = "Status: install ok installed\\nVersion: 1\\nArchitecture: a\\033[2J\\n\\n"
    apt.run(f"printf 'Package: b\\n{about}' >> /var/lib/dpkg/status")
    for words in (("status",), ("diff", "--packages"), ("packages",), ("commit", "-q", "--auto")):
        assert "\x1b" not in apt.envgit(*words).stdout
    shown = apt.envgit("log", "-1", "--format=%B", "--packages").stdout
    assert "\x1b" not in shown
    assert "\r" not in shown


def test_a_package_without_files_in_two_versions_is_a_conflict_of_the_database(apt: Apt) -> None:
    about = "Package: meta\\nStatus: install ok installed\\nArchitecture: all\\nVersion: "
    apt.envgit("branch", "theirs")
    for version, branch in (("1", "main"), ("2", "theirs")):
        apt.envgit("switch", "-q", branch)
        apt.run(f"printf '{about}{version}\\n\\n' > /var/lib/dpkg/status")
        apt.commit()
    merged = cli.run(["merge", "main"], cwd=apt.project)
    assert merged.status == 1
    assert "CONFLICT (package): meta 2 in HEAD, 1 in main" in merged.stdout
    assert "var/lib/dpkg/status (package meta)" in apt.envgit("status").stdout
    apt.envgit("checkout", "--theirs", "var/lib/dpkg/status")
    assert "UU" not in apt.envgit("status", "-s").stdout
    assert apt.envgit("packages").stdout.split()[1:3] == ["meta", "1"]
    apt.envgit("commit", "-q", "--no-edit")


# -- status, diff, show and log -------------------------------------------------------------------


def test_status_has_the_packages_after_the_files(apt: Apt) -> None:
    assert "Packages" not in apt.envgit("status").stdout
    tool = apt.package("tool", "1", files={"opt/tool/data": "x" * 5000})
    apt.run(f"dpkg -i {tool}; {wheel('thing', '2')}")
    lines = apt.envgit("status").lines
    at = lines.index("Packages changed:")
    assert at > lines.index("Changes to be committed:")
    assert lines[at + 1].split() == ["added", "tool", "1"]
    assert lines[at + 2].split()[:3] == ["added", "pip:thing", "2"]
    (one, other) = apt.json("status")["packages"]
    assert (one["kind"], one["manager"], one["old"], one["new"]) == ("added", "dpkg", None, "1")
    assert other["place"] == "opt/venv/lib/python3.11/site-packages"
    for form in ("--porcelain", "--porcelain=v2", "-s", "-z"):
        assert "Packages" not in apt.envgit("status", form).stdout
    # Only what lies there.
    assert "pip:thing" not in apt.envgit("status", "var").stdout
    assert "added  tool" in apt.envgit("status", "var").stdout


def test_each_kind_in_diff(apt: Apt) -> None:
    files = {"opt/tool/data": "tool\n", "etc/tool.conf": "a\n"}
    first = apt.package("tool", "1", files=files)
    apt.run(f"dpkg -i {first}")
    apt.envgit("commit", "-qm", "one")

    def words(script: str) -> list[list[str]]:
        apt.run(script)
        found = [line.split() for line in apt.envgit("diff", "--packages").lines]
        apt.envgit("reset", "-q", "--hard")
        return found

    assert words("echo b > /etc/tool.conf") == [
        ["modified", "(config)", "tool", "1", "etc/tool.conf"]
    ]
    assert words("rm /opt/tool/data") == [["modified", "tool", "1", "opt/tool/data"]]
    assert words("rm /var/lib/dpkg/info/tool.list") == [
        ["modified", "tool", "1", "var/lib/dpkg/info/tool.list"]
    ]
    assert words("apt-mark hold tool") == [["changed", "tool", "1", "(now", "hold)"]]
    assert words("apt-mark auto tool") == [["changed", "tool", "1", "(now", "automatic)"]]
    assert words("touch /opt/tool/data") == []
    assert words(f"dpkg -i {first}") == [["reinstalled", "tool", "1"]]
    assert words(f"dpkg -i {apt.package('tool', '2')}")[0][:5] == [
        "upgraded", "tool", "1", "->", "2",
    ]  # fmt: skip
    assert words(f"dpkg -i {apt.package('tool', '0')}")[0][0] == "downgraded"
    assert words("dpkg -r tool") == [["removed", "tool", "1", "(configuration", "kept)"]]
    assert words("dpkg -P tool") == [["removed", "tool", "1"]]


@pytest.fixture
def history(apt: Apt) -> Apt:
    """Five commits: tool 1, a file, tool 2 and thing 1, thing 2, tool gone."""
    one = apt.package("tool", "1", files={"opt/tool/data": "1"})
    two = apt.package("tool", "2", files={"opt/tool/data": "2"})
    for script, message in (
        (f"dpkg -i {one}", "c1"),
        ("echo x > /etc/x", "c2"),
        (f"dpkg -i {two}; {wheel('thing', '1')}", "c3"),
        (wheel("thing", "2"), "c4"),
        ("dpkg -P tool", "c5"),
    ):
        apt.run(script)
        apt.envgit("commit", "-qm", message)
    return apt


def test_log_lists_what_changed_a_package(history: Apt) -> None:
    def log(*words: str) -> list[str]:
        return history.envgit("log", "--format=%s", *words).lines

    assert log("--package", "tool") == ["c5", "c3", "c1"]
    assert log("--package", "dpkg:t*") == log("--package", "apt:tool") == ["c5", "c3", "c1"]
    assert log("--package", "*") == ["c5", "c4", "c3", "c1"]
    assert log("--package", "thing", "--package", "tool", "-n", "2") == ["c5", "c4"]
    assert log("--package", "tool", "--reverse") == ["c1", "c3", "c5"]
    assert log("--package", "pip:thing", "HEAD~2") == ["c3"]
    assert log("--package", "tool", "--", "opt/venv") == ["c3"]
    assert log("--package", "pip:tool*") == []
    assert history.envgit("rev-list", "--count", "--package=tool", "HEAD").stdout == "3\n"
    wrong = cli.run(["log", "--package", "tol"], cwd=history.project).exited(128)
    assert "no package 'tol'" in wrong.stderr


def test_log_shows_packages_under_each_commit(history: Apt) -> None:
    lines = history.envgit("log", "--oneline", "--packages", "-n", "3").lines
    assert [line.split()[0] for line in lines if not line.split()[1].startswith("c")] == [
        "removed", "upgraded", "upgraded", "added",
    ]  # fmt: skip
    # Where a package is asked for, it alone is shown, unless one wants to see all.
    only = history.envgit("log", "--package", "thing").stdout
    assert "upgraded  pip:thing  1 -> 2" in only
    assert "  tool  " not in only
    assert "tool" in history.envgit("log", "--package", "thing", "--full-diff").stdout
    both = history.envgit("log", "-1", "--packages", "--stat", "--format=").stdout
    assert both.startswith("removed  tool")
    assert "files changed" in both
    graph = history.envgit("log", "--graph", "--oneline", "--packages").lines
    assert all(line[0] in "*|" or not line.strip(" |") for line in graph[:-2])


def test_packages_of_a_commit_and_between_commits(history: Apt) -> None:
    assert history.envgit("show", "--packages", "--format=", "HEAD~1").stdout.startswith(
        "upgraded  pip:thing  1 -> 2"
    )
    lines = history.envgit("diff", "--packages", "HEAD~4", "HEAD").lines
    assert [line.split()[:2] for line in lines] == [["removed", "tool"], ["added", "pip:thing"]]
    back = history.envgit("diff", "--packages", "-R", "HEAD~4", "HEAD").lines
    assert [line.split()[:2] for line in back] == [["added", "tool"], ["removed", "pip:thing"]]
    found = history.json("diff", "--packages", "HEAD~4..HEAD")
    assert [one["kind"] for one in found["packages"]] == ["removed", "added"]
    assert found["problems"] == []
    assert "changes" not in found
    told = history.json("log", "--package", "thing", "-n", "1")
    assert [one["old"] for one in told[0]["packages"]] == ["1"]


def test_the_exit_status_is_about_packages_where_only_those_are_asked_for(history: Apt) -> None:
    same = ["diff", "--packages", "--exit-code", "HEAD~4", "HEAD~3"]
    cli.run(same, cwd=history.project).exited(0)
    cli.run([*same[:-2], "HEAD~3", "HEAD~2"], cwd=history.project).exited(1)


def test_log_of_a_package_follows_the_side_of_a_merge_that_has_it(apt: Apt) -> None:
    one, two = apt.package("tool", "1"), apt.package("tool", "2")
    apt.run(f"dpkg -i {one}")
    apt.envgit("commit", "-qm", "one")
    apt.envgit("switch", "-qc", "side")
    apt.run(f"dpkg -i {two}")
    apt.envgit("commit", "-qm", "two")
    apt.envgit("switch", "-q", "main")
    apt.run("echo x > /etc/x")
    apt.envgit("commit", "-qm", "x")
    apt.envgit("merge", "-q", "-m", "join", "side")
    subjects = apt.envgit("log", "--format=%s", "--package", "tool").lines
    assert subjects == ["two", "one"]
    assert "two" in apt.json("blame", "--package", "tool")[0]["subject"]
    # The merge itself made nothing of packages.
    assert "tool" not in apt.envgit("log", "-1", "--packages").stdout


# -- who and what ---------------------------------------------------------------------------------


def test_blame_says_who_brought_a_version(history: Apt) -> None:
    (found,) = history.json("blame", "--package", "tool", "HEAD~2")
    assert (found["subject"], found["kind"], found["old"]) == ("c3", "upgraded", "1")
    assert found["made_by"]["argv"][:2] == ["sh", "-c"]
    line = history.envgit("blame", "--package", "thing").stdout
    assert "pip:thing 1 -> 2" in line
    history.run(wheel("thing", "3"))
    assert "not committed yet" in history.envgit("blame", "--package", "thing").stdout
    assert "c4" in history.envgit("blame", "--package", "thing", "HEAD", "--json").stdout
    gone = cli.run(["blame", "--package", "tool"], cwd=history.project).exited(128)
    assert gone.stderr.startswith("fatal: no package 'tool' is installed here")
    assert "'envgit log --package tool' shows by what" in gone.stderr


def test_blame_of_a_path_names_its_package(history: Apt) -> None:
    assert history.envgit("blame", "HEAD~2", "opt/tool/data").stdout.rstrip().endswith("[tool 2]")
    (one,) = history.json("blame", "HEAD~2", "opt/tool/data")
    assert (one["package"]["name"], one["package"]["version"]) == ("tool", "2")
    (other,) = history.json("blame", "etc/x")
    assert other["package"] is None


def test_packages_are_those_that_dpkg_lists(history: Apt) -> None:
    history.run(f"dpkg -i {history.package('more', '1:2-3~4', files={'etc/more.conf': 'a'})}")
    query = "dpkg-query -W -f '${Package} ${Version} ${Architecture}\\n' > /tmp/list"
    history.run(query)
    history.envgit("cp", ":/tmp/list", str(history.folder / "list"))
    listed = (history.folder / "list").read_text().splitlines()
    found = history.json("packages", "--manager", "dpkg")["packages"]
    assert [f"{p['name']} {p['version']} {p['architecture']}" for p in found] == listed
    assert history.envgit("packages", "--names", "HEAD~2").lines == ["tool", "pip:thing"]
    assert history.envgit("packages", "--files", "more").lines == ["etc/more.conf  (config)",
        "var/lib/dpkg/info/more.conffiles", "var/lib/dpkg/info/more.list",
        "var/lib/dpkg/info/more.md5sums"]  # fmt: skip
    assert history.envgit("packages", "--names", "--", "m*", "pip:*").lines == ["more", "pip:thing"]
    assert history.envgit("packages", "--size", "--manual", "more").stdout.startswith("dpkg  more")


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("packages", "absent"), "no package 'absent' is installed here"),
        (("packages", "HEAD", "--", "tol"), "no package 'tol' is installed in HEAD"),
        (("packages", "--manager", "pup"), "unknown package manager 'pup'"),
        (("packages", "HEAD~99"), "unknown revision"),
        (("packages", "--files"), "--files needs the name of a package"),
        (("blame", "--package", "tol", "--", "x"), "blame of a package takes nothing but a commit"),
    ],
)
def test_what_is_wrong_is_said(apt: Apt, words: tuple[str, ...], said: str) -> None:
    apt.run(f"dpkg -i {apt.package('tool', '1')}")
    apt.envgit("commit", "-qm", "one")
    done = cli.run(words, cwd=apt.project)
    assert done.status
    assert said in done.stderr
    if "'tol'" in said:
        assert "did you mean 'tool'?" in done.stderr


def test_a_damaged_database_is_a_warning(apt: Apt) -> None:
    apt.run(f"dpkg -i {apt.package('tool', '1')}")
    apt.envgit("commit", "-qm", "one")
    apt.run("head -c 300 /dev/urandom > /var/lib/dpkg/status")
    for words in (("packages",), ("status",), ("diff", "--packages")):
        done = apt.envgit(*words)
        assert "removed" not in done.stdout
        assert "warning: packages of dpkg in var/lib/dpkg/status are not known" in done.stderr
    found = cli.run(["packages", "--problems"], cwd=apt.project).exited(1)
    assert found.stdout.startswith("dpkg  var/lib/dpkg/status")


# -- the hook -------------------------------------------------------------------------------------


def test_the_hook_is_told_what_became_of_packages(apt: Apt) -> None:
    hook = apt.project / ".envgit/hooks/package-changed"
    hook.parent.mkdir(exist_ok=True)
    hook.write_text('#!/bin/sh\necho "$# $2" >> told\ncat >> told\n')
    hook.chmod(0o755)

    def told() -> list[str]:
        place = apt.project / "told"
        text = place.read_text().splitlines() if place.exists() else []
        place.unlink(missing_ok=True)
        return [line for line in text if not line.startswith("2 ")]

    apt.run(f"dpkg -i {apt.package('tool', '1')}")
    apt.envgit("commit", "-qm", "one")
    assert told() == ["added dpkg tool - 1"]
    apt.run("echo x > /etc/x")
    apt.envgit("commit", "-qm", "x")
    assert told() == []
    apt.run(f"dpkg -i {apt.package('tool', '2')}")
    apt.envgit("commit", "-qm", "two")
    assert told() == ["upgraded dpkg tool 1 2"]
    apt.envgit("rollback")
    assert told() == ["downgraded dpkg tool 2 1"]
    apt.envgit("undo")
    assert told() == ["upgraded dpkg tool 1 2"]
    apt.envgit("switch", "-q", "--detach", "HEAD~2")
    assert told() == ["downgraded dpkg tool 2 1"]
