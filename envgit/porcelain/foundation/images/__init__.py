# SPDX-License-Identifier: Apache-2.0
"""Images into commits and commits into images; what init, import and export share."""
