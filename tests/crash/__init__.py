# SPDX-License-Identifier: Apache-2.0
"""Killed at any instant, out of space, two at once: nothing that was committed may be lost."""
