# SPDX-License-Identifier: Apache-2.0
"""The package managers, each by what it leaves on disk."""
