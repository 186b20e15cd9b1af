# SPDX-License-Identifier: Apache-2.0
"""envgit and its peers, timed side by side: ``python -m tests.bench``."""
