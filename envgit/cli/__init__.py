# SPDX-License-Identifier: Apache-2.0
"""The command line: click parses, porcelain does, this room prints."""
