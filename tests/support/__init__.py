# SPDX-License-Identifier: Apache-2.0
"""What tests share: probes, builders of trees, the command line as a process, peers, faults."""
