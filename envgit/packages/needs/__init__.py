# SPDX-License-Identifier: Apache-2.0
"""What each manager means by its relations, over the packages that are installed."""
