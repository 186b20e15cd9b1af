# SPDX-License-Identifier: Apache-2.0
"""`cp`, `mount`, `umount`, `export`: the environment seen from the host, and taken out of it."""
