# SPDX-License-Identifier: Apache-2.0
"""What a file tree means: entries, scans, comparison, layers as directories and archives."""
