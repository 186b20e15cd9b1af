# SPDX-License-Identifier: Apache-2.0
"""The house rules as tests: who imports whom, how big things are, linters, types, docs."""
