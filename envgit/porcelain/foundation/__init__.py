# SPDX-License-Identifier: Apache-2.0
"""What verbs are built on: no module in here imports a verb."""
