# SPDX-License-Identifier: Apache-2.0
"""What is installed in an environment, read from its files alone: nothing executed or trusted."""
