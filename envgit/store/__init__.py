# SPDX-License-Identifier: Apache-2.0
"""Where the bulk data lives: layers, spans, change sets, worktrees, locks."""
