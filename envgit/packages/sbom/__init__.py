# SPDX-License-Identifier: Apache-2.0
"""Bills of materials: what is installed in a state, for scanners and auditors."""
