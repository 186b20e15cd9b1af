# SPDX-License-Identifier: Apache-2.0
"""Lets ``python -m envgit.cli`` stand in for the installed command."""

from envgit.cli.main import entry

entry()
