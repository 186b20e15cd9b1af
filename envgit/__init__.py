# SPDX-License-Identifier: Apache-2.0
"""envgit: git-like versions of whole Linux environments."""
