# SPDX-License-Identifier: Apache-2.0
"""`gc`, `fsck`, `du`, `doctor`: keeping the store and the host in order."""
