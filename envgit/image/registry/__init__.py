# SPDX-License-Identifier: Apache-2.0
"""Registries: the ``docker://`` transport, on top of the oras library.

oras has the addresses of the distribution API, its session and its authentication backends; what
stands here replaces what pulls of gigabytes over bad networks from servers that nobody trusts need:
scoped tokens, retries, resumption, bounds, verification. ``docker.py`` is the door.
"""
