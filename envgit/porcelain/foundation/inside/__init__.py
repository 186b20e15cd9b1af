# SPDX-License-Identifier: Apache-2.0
"""What `bisect inside` searches the difference of two commits with."""
