# SPDX-License-Identifier: Apache-2.0
"""The command line: parse, call porcelain, render; the only room that knows click and terminals."""
