# SPDX-License-Identifier: Apache-2.0
"""The git side of a repository; the only room that imports pygit2."""
