# SPDX-License-Identifier: Apache-2.0
"""The kernel side: namespaces, mounts and the process inside them."""
