# SPDX-License-Identifier: Apache-2.0
"""envgit: git-like versions of whole Linux environments."""

__version__ = "0.1.0"
