# SPDX-License-Identifier: Apache-2.0
"""Where an environment's first content comes from and where it can go."""
