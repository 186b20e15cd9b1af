# SPDX-License-Identifier: Apache-2.0
"""Durable writes, and walking that cannot leave its root."""
