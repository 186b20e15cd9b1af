# SPDX-License-Identifier: Apache-2.0
"""One user intention per function: plain arguments in, frozen results out."""
