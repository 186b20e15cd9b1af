# SPDX-License-Identifier: Apache-2.0
"""Lets ``python -m envgit.cli`` stand in for the installed command."""

import sys

from envgit.cli.main import main

sys.exit(main())
