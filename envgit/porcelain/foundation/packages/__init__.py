# SPDX-License-Identifier: Apache-2.0
"""Packages of commits, of the worktree and of merges: envgit.packages brought to what is in git."""
